import { Link } from "@tanstack/react-router";
import type { Job } from "@/features/jobs/api";

/** Why a run failed, at the top of its page. */
export function Why({ job }: { job: Job }) {
  const { error } = job;
  return (
    <div role="alert" className="rounded-lg border border-rejected bg-surface p-4">
      <p className="font-medium">{error?.message ?? "This run failed and left no reason."}</p>
      <p className="mt-1 text-sm text-muted">
        {error?.param && (
          <>
            It concerns <code className="font-mono">{error.param}</code>.{" "}
          </>
        )}
        <Link
          to="/jobs/$jobId"
          params={{ jobId: job.id }}
          search={{ tab: "events" }}
          className="text-accent underline"
        >
          Read its log
        </Link>{" "}
        or{" "}
        <Link to="/jobs/new" search={{ from: job.id }} className="text-accent underline">
          start again with other settings
        </Link>
        .
      </p>
    </div>
  );
}
