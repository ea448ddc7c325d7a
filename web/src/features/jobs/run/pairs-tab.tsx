import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo, useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Empty, Loading } from "@/components/page";
import { inputClass } from "@/components/ui/field";
import { hasEnded, type Job } from "@/features/jobs/api";
import { isJudge } from "@/features/jobs/job";
import { PairDetail } from "@/features/jobs/run/pair-detail";
import {
  gotWorse,
  type Judged,
  judge,
  pairsQuery,
  prefersRejected,
} from "@/features/jobs/run/pairs";
import { PairsScatter } from "@/features/jobs/run/pairs-scatter";
import { PairsTable } from "@/features/jobs/run/pairs-table";

/**
 * Every held-out pair before and after training: as a dot, as a row, and with its texts when
 * opened.
 */
export function PairsTab({ job }: { job: Job }) {
  const search = useSearch({ from: "/shell/jobs/$jobId" });
  const navigate = useNavigate({ from: "/jobs/$jobId" });
  const { data, error, isPending, refetch } = useQuery(pairsQuery(job.id));
  const [kept, setKept] = useState<Filter>("all");
  const pairs = useMemo(() => judge(data ?? []), [data]);
  const shown = useMemo(() => pairs.filter(FILTERS[kept].keeps), [pairs, kept]);
  const opened = pairs.find((pair) => String(pair.line) === search.line);
  const open = useCallback(
    (pair: Judged | null) =>
      navigate({
        search: (before) => ({ ...before, line: pair ? String(pair.line) : undefined }),
        replace: true,
        resetScroll: false,
      }),
    [navigate],
  );
  if (error) return <ErrorPanel error={error} retry={refetch} />;
  if (isPending) return <Loading what="Loading the held-out pairs" />;
  if (pairs.length === 0) return <Empty>{nothing(job, data.length)}</Empty>;
  return (
    <div className="grid min-w-0 grid-cols-1 items-start gap-4 xl:grid-cols-[minmax(0,26rem)_minmax(0,1fr)]">
      <PairsScatter
        pairs={shown}
        all={pairs}
        opened={opened ?? null}
        open={open}
        name={isJudge(job) ? "Reward margin" : "Log odds ratio"}
      />
      <div className="flex min-w-0 flex-col gap-4">
        {opened && <PairDetail job={job} pair={opened} close={() => open(null)} />}
        <section
          aria-label="Held-out pairs"
          className="min-w-0 rounded-lg border border-line bg-surface"
        >
          <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2 border-b border-line p-3">
            <p>
              {pairs.length} held-out {pairs.length === 1 ? "pair" : "pairs"}, steps{" "}
              {pairs[0]?.before.step} and {pairs[0]?.after.step}
            </p>
            <select
              aria-label="Which pairs"
              value={kept}
              onChange={(event) => setKept(event.target.value as Filter)}
              className={inputClass}
            >
              {Object.entries(FILTERS).map(([name, { label, keeps }]) => (
                <option key={name} value={name}>
                  {label} ({pairs.filter(keeps).length})
                </option>
              ))}
            </select>
          </div>
          <PairsTable pairs={shown} opened={opened ?? null} open={open} />
        </section>
      </div>
    </div>
  );
}

type Filter = "all" | "worse" | "rejected";
const FILTERS: Record<Filter, { label: string; keeps: (pair: Judged) => boolean }> = {
  all: { label: "All pairs", keeps: () => true },
  worse: { label: "Got worse", keeps: gotWorse },
  rejected: { label: "Still prefer the rejected answer", keeps: prefersRejected },
};

function nothing(job: Job, measured: number): string {
  if (measured > 0 && !hasEnded(job))
    return "The pairs were measured once. How they move is known after the next evaluation.";
  if (measured > 0) return "These pairs have no rejected answer or were measured once only.";
  return hasEnded(job)
    ? "This run measured no held-out pair."
    : "Held-out pairs are measured before the first step and at each evaluation.";
}
