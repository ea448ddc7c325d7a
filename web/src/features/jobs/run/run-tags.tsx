import { useMutation, useQueryClient } from "@tanstack/react-query";
import { X } from "lucide-react";
import { useState } from "react";
import { Needs, useLacks } from "@/components/needs";
import { Button } from "@/components/ui/button";
import { inputClass } from "@/components/ui/field";
import { editJob, type Job } from "@/features/jobs/api";
import { Tag } from "@/features/jobs/components/tag";

/**
 * The run's tags: each can be removed, and words that are typed become new ones. The field closes on
 * Escape or an empty Enter; if it closed when it loses the focus, what is clicked would move away.
 */
export function RunTags({ job }: { job: Job }) {
  const queries = useQueryClient();
  const [text, setText] = useState<string | null>(null);
  const canEdit = useLacks("write") === null;
  const change = useMutation({
    mutationFn: (tags: string[]) => editJob(queries, job.id, { tags }),
    onSuccess: () => setText((typed) => (typed === null ? null : "")),
  });
  const add = () => {
    const words = text?.split(/[\s,]+/).filter(Boolean) ?? [];
    if (words.length === 0) setText(null);
    else change.mutate([...job.tags, ...words]);
  };
  return (
    <div className="flex flex-wrap items-center gap-1.5">
      {job.tags.map((tag) => (
        <Tag key={tag} name={tag}>
          {canEdit && (
            <button
              type="button"
              aria-label={`Remove the tag ${tag}`}
              disabled={change.isPending}
              onClick={() => change.mutate(job.tags.filter((each) => each !== tag))}
              className="-mr-1 inline-flex size-6 items-center justify-center hover:text-ink"
            >
              <X aria-hidden="true" size={12} />
            </button>
          )}
        </Tag>
      ))}
      <Needs scope="write" lacking="hidden">
        {text === null ? (
          <Button
            small
            look="quiet"
            className={job.tags.length === 0 ? "-ml-2" : ""}
            onClick={() => setText("")}
          >
            Add a tag
          </Button>
        ) : (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              add();
            }}
          >
            <input
              // biome-ignore lint/a11y/noAutofocus: the user has just asked to type here.
              autoFocus
              aria-label="New tag"
              placeholder="A word, then Enter"
              value={text}
              spellCheck={false}
              autoComplete="off"
              onChange={(event) => setText(event.target.value)}
              onKeyDown={(event) => event.key === "Escape" && setText(null)}
              className={`${inputClass} min-h-7! w-44! px-2! text-sm`}
            />
          </form>
        )}
      </Needs>
      {change.error && (
        <p role="alert" className="basis-full text-sm text-rejected">
          {change.error.message}
        </p>
      )}
    </div>
  );
}
