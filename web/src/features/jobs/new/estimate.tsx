import { useQuery } from "@tanstack/react-query";
import { ErrorPanel } from "@/components/error-panel";
import { Card } from "@/components/ui/card";
import { estimateQuery } from "@/features/jobs/new/estimates";
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
  const { data, error } = useQuery(estimateQuery(id));
  if (error) return <ErrorPanel error={error} />;
  return (
    <div role="status">
      <Card title="What it takes">
        {data?.estimate ? (
          <div className={isStale ? "opacity-60" : undefined}>
            {isStale && <p className="mb-3">The settings have changed since this was measured.</p>}
            <Figures found={data.estimate} />
          </div>
        ) : data?.error ? (
          <p className="text-bad">{data.error.message}</p>
        ) : (
          <p className="text-muted">{waiting(data)}</p>
        )}
      </Card>
    </div>
  );
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
        <dd className="text-lg tabular-nums">{duration(time.total_s)}</dd>
        <dd className="text-sm text-muted">
          {duration(time.load_s)} loading, {duration(time.train_s)} training,{" "}
          {duration(time.evaluate_s)} evaluating
        </dd>
      </div>
      <div>
        <dt className="text-sm text-muted">Work</dt>
        <dd className="text-lg tabular-nums">{number(found.steps, 0)} steps</dd>
        <dd className="text-sm text-muted">
          {number(found.tokens, 0)} tokens at {number(found.tokens_per_s, 0)} a second,{" "}
          {number(found.pairs, 0)} pairs
        </dd>
      </div>
      <div className="sm:col-span-2">
        <dt className="text-sm text-muted">
          Memory{found.processes > 1 && `, in each of ${found.processes} processes`}
        </dt>
        <dd className="text-lg tabular-nums">
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
