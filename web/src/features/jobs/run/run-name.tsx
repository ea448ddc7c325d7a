import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Pencil } from "lucide-react";
import { useState } from "react";
import { InfoMark } from "@/components/info-mark";
import { Needs } from "@/components/needs";
import { Button } from "@/components/ui/button";
import { inputClass } from "@/components/ui/field";
import { editJob, type Job } from "@/features/jobs/api";
import { idsOf } from "@/features/jobs/job";
import { nameOf } from "@/lib/run-name";

const LONGEST = 64;

/** The run's name as heading, with its ids behind a mark; a click on the pencil renames it. */
export function RunName({ job }: { job: Job }) {
  const [isEditing, setEditing] = useState(false);
  if (isEditing) return <Rename job={job} onEnd={() => setEditing(false)} />;
  return (
    <span className="flex items-center gap-1">
      <span className="min-w-0 break-words">{nameOf(job)}</span>
      <Needs scope="write" lacking="hidden">
        <Button small look="quiet" aria-label="Rename the run" onClick={() => setEditing(true)}>
          <Pencil aria-hidden="true" size={14} />
        </Button>
      </Needs>
      <InfoMark about={nameOf(job)} facts={idsOf(job)} />
    </span>
  );
}

/** Enter saves, Escape leaves the name as it was. An empty name returns to the first one. */
function Rename({ job, onEnd }: { job: Job; onEnd: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState(job.name ?? "");
  const save = useMutation({
    mutationFn: () => editJob(queries, job.id, { name: name.trim() || null }),
    onSuccess: onEnd,
  });
  return (
    <form
      className="flex flex-wrap items-center gap-2 text-base font-normal"
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate();
      }}
    >
      <input
        // biome-ignore lint/a11y/noAutofocus: the user has just asked to type here.
        autoFocus
        aria-label="Name of the run"
        aria-invalid={save.error ? true : undefined}
        value={name}
        maxLength={LONGEST}
        spellCheck={false}
        autoComplete="off"
        onFocus={(event) => event.currentTarget.select()}
        onChange={(event) => setName(event.target.value)}
        onKeyDown={(event) => event.key === "Escape" && onEnd()}
        className={`${inputClass} max-w-md min-w-0 flex-1 basis-60`}
      />
      <Button type="submit" look="primary" disabled={save.isPending}>
        Save
      </Button>
      <Button onClick={onEnd}>Cancel</Button>
      {save.error && (
        <span role="alert" className="basis-full text-sm text-rejected">
          {save.error.message}
        </span>
      )}
    </form>
  );
}
