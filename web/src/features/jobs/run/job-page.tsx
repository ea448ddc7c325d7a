import { usePrefetchQuery, useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense, useMemo } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Loading, Page } from "@/components/page";
import { buttonClass } from "@/components/ui/button";
import { hasEnded, type Job, jobQuery } from "@/features/jobs/api";
import { ArchiveButton } from "@/features/jobs/components/archive-button";
import { isJudge, tabOf } from "@/features/jobs/job";
import { CurvesTab } from "@/features/jobs/run/curves-tab";
import { JobBar } from "@/features/jobs/run/job-bar";
import { RunName } from "@/features/jobs/run/run-name";
import { RunNotes } from "@/features/jobs/run/run-notes";
import { RunTags } from "@/features/jobs/run/run-tags";
import { Why } from "@/features/jobs/run/why";
import { seriesQuery } from "@/features/jobs/series";
import { useRun } from "@/features/jobs/use-run";
import { ago, moment } from "@/lib/format";
import { nameOf } from "@/lib/run-name";

// Only the curves come with the page; the code of another tab loads when it is opened.
const PairsTab = lazy(() =>
  import("@/features/jobs/run/pairs-tab").then((each) => ({ default: each.PairsTab })),
);
const SamplesTab = lazy(() =>
  import("@/features/jobs/run/samples-tab").then((each) => ({ default: each.SamplesTab })),
);
const RunEvaluations = lazy(() => import("@/features/evaluations/run/run-evaluations"));
const CheckpointsTab = lazy(() =>
  import("@/features/jobs/run/checkpoints-tab").then((each) => ({ default: each.CheckpointsTab })),
);
const EventsTab = lazy(() =>
  import("@/features/jobs/run/events-tab").then((each) => ({ default: each.EventsTab })),
);
const ConfigTab = lazy(() =>
  import("@/features/jobs/run/config-tab").then((each) => ({ default: each.ConfigTab })),
);

export function JobPage() {
  const { jobId } = useParams({ from: "/shell/jobs/$jobId" });
  const { data: job, error, refetch } = useQuery(jobQuery(jobId));
  // Loads in parallel with the run itself, because the curves take longest.
  usePrefetchQuery(seriesQuery(jobId, null));
  if (job) return <JobView key={job.id} job={job} />;
  return (
    <Page title="Run">
      {error ? <ErrorPanel error={error} retry={refetch} /> : <Loading what="Loading the run" />}
    </Page>
  );
}

function JobView({ job }: { job: Job }) {
  const search = useSearch({ from: "/shell/jobs/$jobId" });
  const run = useRun(job);
  const fallback =
    job.status === "failed" && Object.keys(run.all).length === 0 ? "events" : "curves";
  const tab = search.tab ?? fallback;
  const content = useMemo<Record<string, () => ReactNode>>(
    () => ({
      curves: () => <CurvesTab job={job} run={run} />,
      pairs: () => <PairsTab job={job} />,
      samples: () => <SamplesTab job={job} />,
      evaluations: () => <RunEvaluations job={job} />,
      checkpoints: () => <CheckpointsTab job={job} />,
      events: () => <EventsTab job={job} streamed={run.events} />,
      config: () => <ConfigTab job={job} />,
    }),
    [job, run],
  );
  return (
    <Page
      title={`Run ${nameOf(job)}`}
      tab={tabOf(job)}
      heading={<RunName job={job} />}
      lead={
        <>
          {job.model} · <span title={moment(job.created_at)}>{ago(job.created_at)}</span>
          {job.archived && " · archived, so the list leaves it out"}
        </>
      }
      actions={
        <>
          <Needs scope="write" lacking="hidden">
            <ArchiveButton jobs={[job]} />
            <Link to="/jobs/new" search={{ from: job.id }} className={buttonClass()}>
              New run from this
            </Link>
          </Needs>
          {job.fine_tuned_model && !isJudge(job) && (
            <Link
              to="/playground"
              search={{ a: job.model, b: job.fine_tuned_model, job: job.id }}
              className={buttonClass("primary")}
            >
              Talk to both models
            </Link>
          )}
        </>
      }
    >
      <div className="-mt-2 flex flex-wrap items-start gap-x-1 gap-y-2">
        <RunTags job={job} />
        <RunNotes job={job} />
      </div>
      {job.status === "failed" && <Why job={job} />}
      <JobBar job={job} tab={tab} />
      {run.broken && !hasEnded(job) && (
        <p role="status" className="text-sm text-muted">
          The live connection broke off. Connecting again …
        </p>
      )}
      <Suspense fallback={<Loading />}>{(content[tab] ?? content.curves)?.()}</Suspense>
    </Page>
  );
}
