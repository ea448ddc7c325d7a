import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { hasEnded, type Job } from "@/features/jobs/api";
import { Answered } from "@/features/jobs/components/said";
import { clipOf, heldOutOf, isJudge } from "@/features/jobs/job";
import { judge, pairsQuery } from "@/features/jobs/run/pairs";
import { type Verdict, verdictOf } from "@/features/jobs/run/verdict";
import { effectSaid, healthSaid } from "@/features/jobs/run/verdict-words";
import type { Series } from "@/features/jobs/series";

/** Three questions answered from the numbers: healthy, did it help, where did it get worse. */
export function VerdictCard({ job, series }: { job: Job; series: Series }) {
  const { data: pairs } = useQuery(pairsQuery(job.id));
  const judged = useMemo(() => judge(pairs ?? []), [pairs]);
  const clip = clipOf(job);
  const heldOut = heldOutOf(job);
  const verdict = useMemo(
    () => verdictOf(series, judged, { heldOut, clip }),
    [series, judged, heldOut, clip],
  );
  return (
    <section
      aria-label="Verdict"
      className="grid gap-x-8 gap-y-4 rounded-lg border border-line bg-surface p-4 md:grid-cols-3"
    >
      <Health verdict={verdict} ended={hasEnded(job)} hasAnswers={!isJudge(job)} />
      <Effect verdict={verdict} />
      <Worse verdict={verdict} job={job} />
    </section>
  );
}

function Health(props: { verdict: Verdict; ended: boolean; hasAnswers: boolean }) {
  const { findings } = props.verdict;
  const { answer, tone, text } = healthSaid(props.verdict, props);
  return (
    <Answered question="Is the run healthy?" answer={answer} tone={tone}>
      {findings.length === 0
        ? text
        : findings.map((finding) => (
            <span key={finding.code} className="mb-1 block">
              <span className="text-ink">{finding.title}</span> {finding.advice}
            </span>
          ))}
    </Answered>
  );
}

function Effect({ verdict }: { verdict: Verdict }) {
  const { answer, tone, strong, text } = effectSaid(verdict);
  return (
    <Answered question="Did it help?" answer={answer} tone={tone}>
      {strong && <span className="text-ink">{strong} </span>}
      {text}
    </Answered>
  );
}

function Worse({ verdict: { worse }, job }: { verdict: Verdict; job: Job }) {
  const question = "Where did it get worse?";
  if (!worse)
    return (
      <Answered question={question} answer="Not measured yet" tone={null}>
        Each held-out pair is measured before and after.
      </Answered>
    );
  const held = `${worse.total} held-out ${worse.total === 1 ? "pair" : "pairs"}`;
  return (
    <Answered
      question={question}
      answer={worse.worse === 0 ? `On none of ${held}` : `On ${worse.worse} of ${held}`}
      tone={worse.worse === 0 && worse.behind === 0 ? "good" : null}
    >
      {worse.lost > 0
        ? `On ${worse.lost} of them it now prefers the rejected answer. `
        : "None of them turned to the rejected answer. "}
      {worse.behind > worse.lost &&
        `On ${worse.behind - worse.lost} the rejected answer is preferred as before. `}
      {worse.won > 0 && `${worse.won} turned to the chosen one. `}
      <Link
        to="/jobs/$jobId"
        params={{ jobId: job.id }}
        search={{ tab: "pairs" }}
        className="text-accent underline"
      >
        Look at the pairs
      </Link>
    </Answered>
  );
}
