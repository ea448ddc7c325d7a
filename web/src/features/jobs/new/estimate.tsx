import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { RunningFor } from "@/components/running-for";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { hasEnded } from "@/features/jobs/api";
import {
  cancelEstimate,
  estimateQuery,
  type SizeOf,
  sizeQuery,
} from "@/features/jobs/new/estimates";
import type { Schema } from "@/lib/api";
import { bytes, duration, number } from "@/lib/format";

type Measured = Schema<"Estimate">;

const PARTS = {
  runtime_bytes: "programs",
  weights_bytes: "weights",
  gradients_bytes: "gradients",
  optimizer_bytes: "optimizer",
  activations_bytes: "activations",
  head_bytes: "head",
} as const;
const partsOf = ({ memory }: Measured) =>
  (Object.keys(PARTS) as (keyof typeof PARTS)[]).map((key) => ({
    name: PARTS[key],
    size: memory[key],
  }));

/** The time and memory of the run; `isStale` if the form has changed since the measurement. */
export function EstimateCard({ id, isStale }: { id: string; isStale: boolean }) {
  const queries = useQueryClient();
  const query = estimateQuery(id);
  const { data, error } = useQuery(query);
  const cancel = useMutation({
    mutationFn: () => cancelEstimate(id),
    onSuccess: (ended) => queries.setQueryData(query.queryKey, ended),
  });
  const box = useRef<HTMLDivElement>(null);
  const state = data?.status;
  // It opens at the end of a long form, and grows with its result.
  // biome-ignore lint/correctness/useExhaustiveDependencies: again after each change of state.
  useEffect(() => box.current?.scrollIntoView({ block: "nearest" }), [state]);
  if (error) return <ErrorPanel error={error} />;
  return (
    <div ref={box} className="scroll-mb-20">
      <Card title="What it takes">
        {data?.estimate ? (
          <div role="status" className={isStale ? "opacity-60" : undefined}>
            {isStale && <p className="mb-3">The settings have changed since this was measured.</p>}
            <Figures found={data.estimate} />
          </div>
        ) : data?.error ? (
          <p role="alert" className="text-rejected">
            {data.error.message}
          </p>
        ) : (
          <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
            <p role="status" className="text-muted">
              {waiting(data)}
            </p>
            {!(data && hasEnded(data)) && (
              <>
                <RunningFor />
                <Button
                  small
                  className="ml-auto"
                  disabled={cancel.isPending}
                  onClick={() => cancel.mutate()}
                >
                  {cancel.isPending ? "Stopping …" : "Cancel"}
                  <span className="sr-only"> the measurement</span>
                </Button>
              </>
            )}
          </div>
        )}
        {cancel.error && <ErrorPanel error={cancel.error} />}
      </Card>
    </div>
  );
}

/** Steps, tokens and time without a device: counted on a sample, at the speed measured last. */
export function SizeCard(props: { size: SizeOf; isStale: boolean; onCancel: () => void }) {
  const { data, error } = useQuery(sizeQuery(props.size));
  const box = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: again once the result is there.
  useEffect(() => box.current?.scrollIntoView({ block: "nearest" }), [data]);
  if (error) return <ErrorPanel error={error} />;
  return (
    <div ref={box} className="scroll-mb-20">
      <Card title="About what it takes">
        {data ? (
          <div role="status" className={props.isStale ? "opacity-60" : undefined}>
            {props.isStale && (
              <p className="mb-2">The settings have changed since this was counted.</p>
            )}
            {sizeInWords(data.job).map((sentence) => (
              <p key={sentence}>{sentence}</p>
            ))}
          </div>
        ) : (
          <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
            <p role="status" className="text-muted">
              Counting the tokens of a sample …
            </p>
            <RunningFor />
            <Button small className="ml-auto" onClick={props.onCancel}>
              Cancel<span className="sr-only"> the count</span>
            </Button>
          </div>
        )}
      </Card>
    </div>
  );
}

/** The size of a run, and its time if a speed is known; what is not counted is said. */
export function sizeInWords(job: Schema<"JobSize"> | null): string[] {
  if (!job) return ["None of the sampled pairs would be trained: see the file's statistics."];
  const size = `${number(job.steps, 0)} steps, ${number(job.tokens, 0)} tokens, ${number(job.pairs, 0)} pairs.`;
  if (!job.speed)
    return [size, "No speed was measured with this base yet: measure what it takes once."];
  const { device, tokens_per_s } = job.speed;
  return [
    `Training: about ${duration(job.train_s)}. ${size}`,
    `At ${number(tokens_per_s, 0)} tokens a second, the speed that was measured last with this base, on ${device}. Loading and evaluating come on top; memory is known only when it is measured.`,
  ];
}

function waiting(found?: Schema<"EstimateObject">): string {
  if (found?.status === "cancelled") return "It was cancelled.";
  const { steps, train } = found?.prepared ?? {};
  if (found?.status === "running") return "Measuring three steps on the device …";
  if (steps === undefined) return "Reading the files …";
  return `${number(train?.pairs, 0)} pairs, ${number(steps, 0)} steps. Waiting for a free worker …`;
}

function Figures({ found }: { found: Measured }) {
  const { time, memory, device } = found;
  const most = Math.max(memory.peak_bytes, device.memory_bytes);
  return (
    <dl className="grid gap-x-6 gap-y-4 sm:grid-cols-2">
      <div>
        <dt className="text-sm text-muted">Time</dt>
        <dd className="text-lg">{duration(time.total_s)}</dd>
        <dd className="text-sm text-muted">
          {duration(time.load_s)} loading, {duration(time.train_s)} training,{" "}
          {duration(time.evaluate_s)} evaluating
        </dd>
      </div>
      <div>
        <dt className="text-sm text-muted">Work</dt>
        <dd className="text-lg">{number(found.steps, 0)} steps</dd>
        <dd className="text-sm text-muted">
          {number(found.tokens, 0)} tokens at {number(found.tokens_per_s, 0)} a second,{" "}
          {number(found.pairs, 0)} pairs
        </dd>
      </div>
      <div className="sm:col-span-2">
        <dt className="text-sm text-muted">
          Memory{found.processes > 1 && `, in each of ${found.processes} processes`}
        </dt>
        <dd className="text-lg">
          {bytes(memory.peak_bytes)} of {bytes(device.memory_bytes)}
        </dd>
        <dd className="mt-1 h-2 overflow-hidden rounded bg-line" aria-hidden="true">
          <div
            className="h-full bg-accent"
            style={{ width: `${(100 * memory.peak_bytes) / most}%` }}
          />
        </dd>
        <dd className="mt-1 text-sm text-muted">
          {device.name}:{" "}
          {partsOf(found)
            .filter(({ size }) => size > 0)
            .map(({ name, size }) => `${name} ${bytes(size)}`)
            .join(", ")}
        </dd>
      </div>
    </dl>
  );
}
