import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { firstStepsQuery } from "@/app/home/api";
import { Checklist, isComplete } from "@/app/home/checklist";
import { LastVerdicts } from "@/app/home/last-verdicts";
import { type Known, nextStep } from "@/app/home/next-step";
import { RunningNow } from "@/app/home/running-now";
import { ErrorPanel } from "@/components/error-panel";
import { Loading, Page } from "@/components/page";
import { buttonClass } from "@/components/ui/button";
import { isAlive, type Job } from "@/features/jobs/api";
import { tabOf } from "@/features/jobs/job";
import { jobsQuery } from "@/features/jobs/list/list";
import { deploymentsQuery, filesQuery } from "@/lib/queries";

/** Where to begin: one next step, what runs, and how the last runs ended. */
export function HomePage() {
  const steps = useQuery(firstStepsQuery);
  // The title of the tab shows the progress while another tab is in front.
  const jobs = useQuery({ ...jobsQuery, refetchIntervalInBackground: true });
  const files = useQuery(filesQuery(100));
  const deployments = useQuery(deploymentsQuery);
  const queries = [steps, jobs, files, deployments];
  const failed = queries.find(({ error, data }) => error && !data);
  const alive = jobs.data?.filter(isAlive) ?? [];
  const known = steps.data && jobs.data && files.data && deployments.data;
  return (
    <Page title="Home" tab={runningTab(alive)}>
      {failed && <ErrorPanel error={failed.error} retry={() => failed.refetch()} />}
      {!known && !failed && <Loading what="Loading what there is" />}
      {steps.data && jobs.data && files.data && deployments.data && (
        <>
          <Next
            known={{
              steps: steps.data,
              jobs: jobs.data,
              files: files.data.data,
              deployments: deployments.data.data,
            }}
          />
          {!isComplete(steps.data) && <Checklist steps={steps.data} />}
          <RunningNow jobs={alive} />
          <LastVerdicts jobs={jobs.data} />
        </>
      )}
    </Page>
  );
}

/** The title of the tab while something runs: the run that was started first, and how many more. */
function runningTab(alive: readonly Job[]): string | undefined {
  const first = alive.findLast((job) => job.status === "running") ?? alive.at(-1);
  if (!first) return undefined;
  const more = alive.length > 1 ? ` and ${alive.length - 1} more` : "";
  return `${tabOf(first)}${more}`;
}

function Next({ known }: { known: Known }) {
  const { says, label, place } = nextStep(known);
  return (
    <section
      aria-label="Next step"
      className="flex flex-wrap items-center justify-between gap-3 rounded-lg border border-accent bg-surface p-4"
    >
      <p className="min-w-0 flex-1 basis-60 break-words">{says}</p>
      <Link {...place} className={buttonClass("primary")}>
        {label}
      </Link>
    </section>
  );
}
