import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { Card } from "@/components/ui/card";
import type { Job } from "@/features/jobs/api";
import { Tone } from "@/features/jobs/components/said";
import { clipOf, heldOutOf, isJudge } from "@/features/jobs/job";
import { verdictOf } from "@/features/jobs/run/verdict";
import { effectSaid, healthSaid, type Said } from "@/features/jobs/run/verdict-words";
import { seriesQuery } from "@/features/jobs/series";
import { ago, moment } from "@/lib/format";
import { nameOf } from "@/lib/run-name";

const MOST = 3;

/** The newest runs that have ended, each with the sentences of its own page. */
export function LastVerdicts({ jobs }: { jobs: readonly Job[] }) {
  const ended = jobs
    .filter(({ status }) => status === "succeeded" || status === "failed")
    .sort((a, b) => (b.finished_at ?? 0) - (a.finished_at ?? 0))
    .slice(0, MOST);
  if (ended.length === 0) return null;
  return (
    <Card title="Last verdicts">
      <ul className="flex flex-col divide-y divide-line">
        {ended.map((job) => (
          <li
            key={job.id}
            className="grid gap-x-4 gap-y-2 py-3 first:pt-0 last:pb-0 md:grid-cols-[minmax(0,1fr)_minmax(0,3fr)]"
          >
            <div className="min-w-0">
              <Link
                to="/jobs/$jobId"
                params={{ jobId: job.id }}
                className="block truncate font-medium hover:text-accent"
              >
                {nameOf(job)}
              </Link>
              <p className="truncate text-sm text-muted" title={moment(job.finished_at)}>
                {ago(job.finished_at)} · {job.model}
              </p>
            </div>
            {job.status === "failed" ? (
              <p className="min-w-0 break-words">
                <Tone tone="bad" />
                {job.error?.message ?? "This run failed and left no reason."}
              </p>
            ) : (
              <Judged job={job} />
            )}
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** Health and effect, from the run's series. Its page adds the pairs that got worse. */
function Judged({ job }: { job: Job }) {
  const { data, error } = useQuery(seriesQuery(job.id, null));
  const verdict = useMemo(
    () => data && verdictOf(data.series, [], { heldOut: heldOutOf(job), clip: clipOf(job) }),
    [data, job],
  );
  if (error) return <p className="text-muted">Its numbers could not be read: {error.message}</p>;
  if (!verdict) return <p className="text-muted">Reading its numbers …</p>;
  return (
    <div className="grid min-w-0 gap-x-6 gap-y-2 lg:grid-cols-2">
      <Sentences said={effectSaid(verdict)} />
      <Sentences said={healthSaid(verdict, { ended: true, hasAnswers: !isJudge(job) })} />
    </div>
  );
}

function Sentences({ said }: { said: Said }) {
  return (
    <div className="min-w-0">
      <p>
        <Tone tone={said.tone} />
        {said.answer}
      </p>
      <p className="text-sm text-muted">
        {said.strong && <span className="text-ink">{said.strong} </span>}
        {said.text}
      </p>
    </div>
  );
}
