import { useQuery } from "@tanstack/react-query";
import { isAlive, type Job } from "@/features/jobs/api";
import { heldOutOf } from "@/features/jobs/job";
import { fetchSeries } from "@/features/jobs/series";
import { number, percent } from "@/lib/format";

const [WIDTH, HEIGHT, EDGE] = [72, 24, 3];
const KEY = "held_out:accuracy";

/**
 * A small chart of a run's held-out accuracy, with 50% (chance) in the middle, and its first and
 * newest values. Without the chart, there is no room for the number of pairs either.
 */
export function Sparkline({ job, isDrawn = true }: { job: Job; isDrawn?: boolean }) {
  const { data } = useQuery({
    queryKey: ["jobs", "spark", job.id, job.status],
    queryFn: async () => {
      const { series } = await fetchSeries(job.id, { keys: KEY, buckets: WIDTH / 2 });
      return series[KEY] ?? [];
    },
    staleTime: isAlive(job) ? 10_000 : Number.POSITIVE_INFINITY,
    refetchInterval: isAlive(job) ? 10_000 : false,
  });
  const heldOut = heldOutOf(job);
  const values = (data ?? []).flatMap((point) => point.y ?? []);
  const [first, last] = [values[0], values.at(-1)];
  if (first === undefined || last === undefined) return <span className="text-muted">–</span>;
  const x = (index: number) => EDGE + (index / Math.max(1, values.length - 1)) * (WIDTH - 2 * EDGE);
  const y = (value: number) => EDGE + (1 - value) * (HEIGHT - 2 * EDGE);
  const end = values.length === 1 ? EDGE : WIDTH - EDGE;
  return (
    <span className="flex items-center gap-2">
      {isDrawn && (
        <svg width={WIDTH} height={HEIGHT} aria-hidden="true" className="shrink-0">
          <line x2={WIDTH} y1={y(0.5)} y2={y(0.5)} stroke="var(--line)" strokeDasharray="2 3" />
          <polyline
            points={values.map((value, index) => `${x(index)},${y(value)}`).join(" ")}
            fill="none"
            stroke="var(--chosen)"
            strokeWidth="1.5"
          />
          <circle cx={end} cy={y(last)} r="2.5" fill="var(--chosen)" />
        </svg>
      )}
      <span
        className="whitespace-nowrap"
        title={heldOut === null ? undefined : `Of ${heldOut} held-out pairs`}
      >
        {values.length > 1 && <span className="text-muted">{percent(first)} → </span>}
        {percent(last)}
        {isDrawn && heldOut !== null && (
          <span className="block text-sm leading-4 text-muted">of {number(heldOut, 0)} pairs</span>
        )}
      </span>
    </span>
  );
}
