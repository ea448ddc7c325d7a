import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { ErrorPanel } from "@/components/error-panel";
import { Empty, Loading } from "@/components/page";
import { Card } from "@/components/ui/card";
import type { Job } from "@/features/jobs/api";
import { isJudge } from "@/features/jobs/job";
import { Answer } from "@/features/jobs/run/pair-detail";
import { type Sample, samplesQuery } from "@/features/jobs/run/samples";
import { useKeys } from "@/lib/use-keys";
import { visible } from "@/lib/visible-text";

/** The model's answer at each evaluation, beside the chosen answer. */
export function SamplesTab({ job }: { job: Job }) {
  const search = useSearch({ from: "/shell/jobs/$jobId" });
  const navigate = useNavigate({ from: "/jobs/$jobId" });
  const { data, error, refetch } = useQuery(samplesQuery(job.id));
  const steps = data?.steps ?? [];
  const wanted = steps.indexOf(Number(search.step ?? -1));
  const at = wanted === -1 ? steps.length - 1 : wanted;
  const go = (place: number) => {
    const step = steps[Math.max(0, Math.min(steps.length - 1, place))];
    navigate({
      search: (before) => ({ ...before, step: step === undefined ? undefined : String(step) }),
      replace: true,
      resetScroll: false,
    });
  };
  useKeys({
    "[": { does: "Answers of the evaluation before", act: () => go(at - 1) },
    "]": { does: "Answers of the next evaluation", act: () => go(at + 1) },
  });
  if (isJudge(job))
    return <Empty>A reward model gives answers a number and writes no text: no samples.</Empty>;
  if (error) return <ErrorPanel error={error} retry={refetch} />;
  if (!data) return <Loading what="Loading the answers" />;
  const step = steps[at];
  if (step === undefined)
    return <Empty>Answers to held-out prompts appear with the first evaluation.</Empty>;
  return (
    <>
      <label className="flex max-w-xl flex-wrap items-center gap-x-4 gap-y-1">
        <span className="w-36">
          After step <strong className="font-semibold">{step}</strong>
        </span>
        <input
          type="range"
          min={0}
          max={steps.length - 1}
          value={at}
          aria-valuetext={`step ${step}`}
          onChange={(event) => go(Number(event.target.value))}
          className="min-h-6 min-w-40 flex-1 accent-[var(--accent)]"
        />
        <span className="text-sm text-muted">
          {at + 1} of {steps.length}
          <span className="hidden md:inline">; press [ or ] to step</span>
        </span>
      </label>
      {data.samples.map((sample) => (
        <SampleCard key={sample.line} sample={sample} step={step} first={steps[0] ?? 0} />
      ))}
    </>
  );
}

function SampleCard({ sample, step, first }: { sample: Sample; step: number; first: number }) {
  const question = sample.prompt.at(-1)?.content ?? "";
  const earlier = sample.prompt.length - 1;
  return (
    <Card title={question}>
      {earlier > 0 && (
        <p className="mb-3 text-sm text-muted">
          After {earlier} earlier {earlier === 1 ? "message" : "messages"}.
        </p>
      )}
      <div className="grid gap-4 md:grid-cols-2">
        <div className="min-w-0 border-l-2 border-line pl-3">
          <p className="text-sm text-muted">
            {step === first ? "model before training" : `model after step ${step}`}
          </p>
          <p className="whitespace-pre-wrap break-words">
            {visible(sample.answers.get(step) ?? "") || "It answered nothing."}
          </p>
        </div>
        <Answer side="chosen" text={sample.chosen} />
      </div>
    </Card>
  );
}
