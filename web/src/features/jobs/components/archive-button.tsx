import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Archive, ArchiveRestore } from "lucide-react";
import { Button } from "@/components/ui/button";
import { archive, type Job } from "@/features/jobs/api";

/** Takes runs out of the list, or puts them back if all are archived. A notice offers the way back. */
export function ArchiveButton(props: {
  jobs: readonly Job[];
  small?: boolean;
  onDone?: () => void;
}) {
  const { jobs } = props;
  const queries = useQueryClient();
  const isBack = jobs.length > 0 && jobs.every((job) => job.archived);
  const change = useMutation({
    mutationFn: () => archive(queries, jobs, !isBack),
    onSuccess: props.onDone,
  });
  return (
    <>
      {change.error && (
        <span role="alert" className="text-sm text-rejected">
          {change.error.message}
        </span>
      )}
      <Button small={props.small} disabled={change.isPending} onClick={() => change.mutate()}>
        {isBack ? (
          <ArchiveRestore aria-hidden="true" size={14} />
        ) : (
          <Archive aria-hidden="true" size={14} />
        )}
        {isBack ? "Unarchive" : "Archive"}
      </Button>
    </>
  );
}
