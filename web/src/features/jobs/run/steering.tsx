import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Pause, Play, Square } from "lucide-react";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { Button } from "@/components/ui/button";
import { hasEnded, type Job, steer } from "@/features/jobs/api";
import { nameOf } from "@/lib/run-name";

/** Pause, resume, cancel: those that the run's state allows. */
export function Steering({ job }: { job: Job }) {
  const queries = useQueryClient();
  const change = useMutation({
    mutationFn: (verb: "pause" | "resume") => steer(queries, job.id, verb),
  });
  if (hasEnded(job) || job.desired_status === "cancel") return null;
  const isPaused = job.status === "paused" || job.desired_status === "pause";
  const canPause = job.status === "running" || job.status === "queued";
  return (
    <div className="flex flex-wrap items-center justify-end gap-2">
      {change.error && (
        <p role="alert" className="text-sm text-rejected">
          {change.error.message}
        </p>
      )}
      {isPaused ? (
        <Button small disabled={change.isPending} onClick={() => change.mutate("resume")}>
          <Play aria-hidden="true" size={14} /> Resume
        </Button>
      ) : (
        canPause && (
          <Button small disabled={change.isPending} onClick={() => change.mutate("pause")}>
            <Pause aria-hidden="true" size={14} /> Pause
          </Button>
        )
      )}
      <ConfirmDialog
        title={`Cancel the run ${nameOf(job)}?`}
        confirm="Cancel the run"
        onConfirm={() => steer(queries, job.id, "cancel")}
        trigger={
          <Button small>
            <Square aria-hidden="true" size={14} /> Cancel
          </Button>
        }
      >
        It ends for good. Its saved checkpoints stay and can be deployed. To go on later, pause it
        instead.
      </ConfirmDialog>
    </div>
  );
}
