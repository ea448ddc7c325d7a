import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Chart } from "@/components/chart/chart";
import { createCursor } from "@/components/chart/cursor";
import { extentOf } from "@/components/chart/lines";
import { ErrorPanel } from "@/components/error-panel";
import { Empty, Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { hasEnded, type Job } from "@/features/jobs/api";
import { heldOutOf, methodOf, standing } from "@/features/jobs/job";
import { chartsOf } from "@/features/jobs/run/charts";
import { VerdictCard } from "@/features/jobs/run/verdict-card";
import type { Run } from "@/features/jobs/use-run";
import { number } from "@/lib/format";

const WIDE = ["divergence", "rewards"];

/** The verdict in words, then the charts that it is based on. */
export function CurvesTab({ job, run }: { job: Job; run: Run }) {
  const navigate = useNavigate({ from: "/jobs/$jobId" });
  const [cursor] = useState(createCursor);
  const charts = useMemo(
    () => chartsOf(run.shown, methodOf(job), job.hyperparameters, heldOutOf(job)),
    [run.shown, job],
  );
  const extent = useMemo(() => extentOf(charts), [charts]);
  const zoom = (range: [number, number] | null) =>
    navigate({
      search: (before) => ({
        ...before,
        x0: range ? String(range[0]) : undefined,
        x1: range ? String(range[1]) : undefined,
      }),
      replace: true,
      resetScroll: false,
    });
  if (run.error) return <ErrorPanel error={run.error} />;
  if (run.loading) return <Loading what="Loading the curves" />;
  if (charts.length === 0 && !run.range)
    return (
      <Empty>
        {hasEnded(job)
          ? "This run ended before its first step, so there is nothing to draw."
          : `${standing(job)}. The curves begin with the first step.`}
      </Empty>
    );
  return (
    <>
      <VerdictCard job={job} series={run.all} />
      {run.range && (
        <p className="flex flex-wrap items-center gap-3 text-sm text-muted">
          Steps {number(run.range[0], 0)} to {number(run.range[1], 0)}
          <Button small onClick={() => zoom(null)}>
            Show the whole run
          </Button>
        </p>
      )}
      <div className="grid min-w-0 grid-cols-1 gap-4 lg:grid-cols-2">
        {charts.map((spec) => (
          <Chart
            key={spec.id}
            className={WIDE.includes(spec.id) ? "lg:col-span-2" : ""}
            {...{ spec, cursor, extent }}
            range={run.range}
            onZoom={zoom}
          />
        ))}
      </div>
    </>
  );
}
