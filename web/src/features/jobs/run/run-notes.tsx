import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Needs } from "@/components/needs";
import { PlainText } from "@/components/plain-text";
import { Button } from "@/components/ui/button";
import { inputClass } from "@/components/ui/field";
import { editJob, type Job } from "@/features/jobs/api";

const LONGEST = 4_000;

/** What people have noted about the run: plain text, shown with its line breaks. */
export function RunNotes({ job }: { job: Job }) {
  const [isEditing, setEditing] = useState(false);
  if (isEditing) return <Edit job={job} onEnd={() => setEditing(false)} />;
  const button = (
    <Needs scope="write" lacking="hidden">
      <Button small look="quiet" onClick={() => setEditing(true)}>
        {job.notes ? "Edit the notes" : "Add notes"}
      </Button>
    </Needs>
  );
  if (!job.notes) return button;
  return (
    <section aria-label="Notes" className="w-full">
      <div className="flex w-fit max-w-prose flex-col items-start gap-1 rounded-lg border border-line bg-surface px-3 py-2">
        <PlainText text={job.notes} />
        <div className="-ml-2">{button}</div>
      </div>
    </section>
  );
}

function Edit({ job, onEnd }: { job: Job; onEnd: () => void }) {
  const queries = useQueryClient();
  const [notes, setNotes] = useState(job.notes);
  const save = useMutation({
    mutationFn: () => editJob(queries, job.id, { notes }),
    onSuccess: onEnd,
  });
  return (
    <form
      className="flex w-full max-w-prose flex-col gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate();
      }}
    >
      <textarea
        // biome-ignore lint/a11y/noAutofocus: the user has just asked to type here.
        autoFocus
        aria-label="Notes"
        rows={4}
        value={notes}
        maxLength={LONGEST}
        onChange={(event) => setNotes(event.target.value)}
        onKeyDown={(event) => event.key === "Escape" && onEnd()}
        className={`${inputClass} py-2`}
      />
      {save.error && (
        <p role="alert" className="text-sm text-rejected">
          {save.error.message}
        </p>
      )}
      <div className="flex gap-2">
        <Button type="submit" small look="primary" disabled={save.isPending}>
          Save the notes
        </Button>
        <Button small onClick={onEnd}>
          Cancel
        </Button>
      </div>
    </form>
  );
}
