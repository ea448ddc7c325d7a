import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { hasEnded, type Job } from "@/features/jobs/api";
import { heldOutOf, isJudge } from "@/features/jobs/job";
import { READINGS } from "@/features/jobs/outcome";
import { judge, pairsQuery } from "@/features/jobs/run/pairs";
import {
  accuracyText,
  fewText,
  gradientText,
  marginText,
  type Verdict,
  verdictOf,
} from "@/features/jobs/run/verdict";
import type { Series } from "@/features/jobs/series";

/** Three questions answered from the numbers: healthy, did it help, where did it get worse. */
export function VerdictCard({ job, series }: { job: Job; series: Series }) {
  const { data: pairs } = useQuery(pairsQuery(job.id));
  const judged = useMemo(() => judge(pairs ?? []), [pairs]);
  const clip = job.hyperparameters.max_grad_norm;
  const heldOut = heldOutOf(job);
  const verdict = useMemo(
    () => verdictOf(series, judged, { heldOut, clip: typeof clip === "number" ? clip : null }),
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
  const { ended } = props;
  const { findings, early, clipped } = props.verdict;
  const sinks = props.hasAnswers ? "the chosen answers did not sink, " : "";
  if (findings.length === 0)
    return (
      <Answer
        question="Is the run healthy?"
        answer={early ? "Too early to say" : "Healthy"}
        good={!early}
      >
        {early
          ? "Ten steps or a second evaluation are needed first."
          : `Every number is finite, ${sinks}${gradientText(clipped)}${ended ? ", no overfit" : " so far"}.`}
      </Answer>
    );
  return (
    <Answer
      question="Is the run healthy?"
      answer={findings.length === 1 ? "One warning" : `${findings.length} warnings`}
      bad
    >
      {findings.map((finding) => (
        <span key={finding.code} className="mb-1 block">
          <span className="text-ink">{finding.title}</span> {finding.advice}
        </span>
      ))}
    </Answer>
  );
}

function Effect({ verdict: { effect } }: { verdict: Verdict }) {
  const question = "Did it help?";
  if (!effect)
    return (
      <Answer question={question} answer="Not measured yet">
        The first comparison comes with the second evaluation on held-out pairs.
      </Answer>
    );
  const { accuracy, margin, reading } = effect;
  const few = fewText(effect);
  return (
    <Answer
      question={question}
      answer={accuracy ? `Accuracy ${accuracyText(accuracy, effect.heldOut)}` : ""}
      good={reading === "helped"}
      bad={reading === "hurt"}
    >
      {few && <span className="text-ink">{few} </span>}
      {margin && `${margin.name} ${marginText(margin)}. `}
      {accuracy && READINGS[reading]}
    </Answer>
  );
}

function Worse({ verdict: { worse }, job }: { verdict: Verdict; job: Job }) {
  const question = "Where did it get worse?";
  if (!worse)
    return (
      <Answer question={question} answer="Not measured yet">
        Each held-out pair is measured before and after.
      </Answer>
    );
  const held = `${worse.total} held-out ${worse.total === 1 ? "pair" : "pairs"}`;
  return (
    <Answer
      question={question}
      answer={worse.worse === 0 ? `On none of ${held}` : `On ${worse.worse} of ${held}`}
      good={worse.worse === 0 && worse.behind === 0}
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
    </Answer>
  );
}

function Answer(props: {
  question: string;
  answer: string;
  good?: boolean;
  bad?: boolean;
  children: React.ReactNode;
}) {
  return (
    <div className="min-w-0">
      <h2 className="text-sm text-muted">{props.question}</h2>
      <p className="mt-0.5 font-semibold">
        {props.good && <Mark className="text-chosen">✓</Mark>}
        {props.bad && <Mark className="text-rejected">✗</Mark>}
        {props.answer}
      </p>
      <p className="mt-1 text-sm text-muted">{props.children}</p>
    </div>
  );
}

const Mark = ({ className, children }: { className: string; children: string }) => (
  <span aria-hidden="true" className={`mr-1.5 ${className}`}>
    {children}
  </span>
);
