import { useQueries } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Chart } from "@/components/chart/chart";
import { createCursor } from "@/components/chart/cursor";
import { extentOf } from "@/components/chart/lines";
import { ErrorPanel } from "@/components/error-panel";
import { Empty, Loading, Page } from "@/components/page";
import { Button, buttonClass } from "@/components/ui/button";
import { hasEnded, isAlive, type Job, jobQuery, keys } from "@/features/jobs/api";
import {
  COMPARED_KEYS,
  type Compared,
  chartsOf,
  differences,
  finals,
} from "@/features/jobs/compare/compare";
import { CompareTable } from "@/features/jobs/compare/compare-table";
import { buckets, fetchSeries } from "@/features/jobs/series";
import { rangeOf } from "@/features/jobs/use-run";
import { number } from "@/lib/format";
import { existingFileQuery } from "@/lib/queries";

const MOST = 10;

/** Up to ten runs on the same charts, with their differing settings and final numbers. */
export function ComparePage() {
  const search = useSearch({ from: "/shell/jobs/compare" });
  const navigate = useNavigate({ from: "/jobs/compare" });
  const ids = useMemo(
    () => [...new Set(search.ids?.split(",").filter(Boolean))].slice(0, MOST),
    [search.ids],
  );
  const range = useMemo(() => rangeOf(...halves(search.x)), [search.x]);
  const [cursor] = useState(createCursor);
  const jobs = useQueries({
    queries: ids.map((id) => ({
      ...jobQuery(id),
      refetchInterval: ({ state }: { state: { data?: { status: string } } }) =>
        state.data && !hasEnded(state.data) ? 5_000 : (false as const),
    })),
  });
  const numbers = useQueries({
    queries: ids.map((id, place) => ({
      queryKey: [...keys.results(id), "compared", range],
      queryFn: () =>
        fetchSeries(id, {
          keys: COMPARED_KEYS,
          buckets: buckets() / 2,
          ...(range && { x0: range[0], x1: range[1] }),
        }),
      refetchInterval: jobs[place]?.data && isAlive(jobs[place].data) ? 5_000 : (false as const),
    })),
  });
  const failed = [...jobs, ...numbers].find((query) => query.error);
  const runs = useMemo(
    () =>
      ids.flatMap((_, place): Compared[] => {
        const [job, series] = [jobs[place]?.data, numbers[place]?.data?.series];
        return job ? [{ job, series: series ?? {} }] : [];
      }),
    [ids, jobs, numbers],
  );
  const charts = useMemo(() => chartsOf(runs), [runs]);
  const fileNames = useFileNames(runs.map(({ job }) => job));
  const extent = useMemo(() => extentOf(charts), [charts]);
  const zoom = (next: [number, number] | null) =>
    navigate({
      search: (now) => ({ ...now, x: next ? next.join("-") : undefined }),
      replace: true,
      resetScroll: false,
    });
  const remove = (id: string) =>
    navigate({ search: (now) => ({ ...now, ids: ids.filter((each) => each !== id).join(",") }) });

  if (ids.length === 0)
    return (
      <Page title="Compare">
        <Empty>
          <p className="mb-3">Tick two to ten runs in the list, then press c.</p>
          <Link to="/jobs" className={buttonClass("primary")}>
            Choose runs
          </Link>
        </Empty>
      </Page>
    );
  return (
    <Page
      title="Compare"
      heading={`Compare ${ids.length} ${ids.length === 1 ? "run" : "runs"}`}
      actions={
        <Link to="/jobs" search={{ select: ids.join(",") }} className={buttonClass()}>
          Change the choice
        </Link>
      }
    >
      {failed && <ErrorPanel error={failed.error} retry={() => failed.refetch()} />}
      {runs.length === 0 && !failed && <Loading what="Loading the runs" />}
      {runs.length > 0 && (
        <CompareTable
          jobs={runs.map((run) => run.job)}
          differing={differences(
            runs.map((run) => run.job),
            fileNames,
          )}
          finals={finals(runs)}
          remove={remove}
        />
      )}
      {range && (
        <p className="flex flex-wrap items-center gap-3 text-sm text-muted">
          Steps {number(range[0], 0)} to {number(range[1], 0)}
          <Button small onClick={() => zoom(null)}>
            Show the whole runs
          </Button>
        </p>
      )}
      <div className="grid min-w-0 grid-cols-1 gap-4 lg:grid-cols-2">
        {charts.map((spec) => (
          <Chart key={spec.id} {...{ spec, cursor, extent, range }} onZoom={zoom} />
        ))}
      </div>
    </Page>
  );
}

/** The names of the files that the runs read, by id. */
function useFileNames(jobs: readonly Job[]): Map<string, string> {
  const ids = jobs.flatMap((job) => [job.training_file, job.validation_file ?? []].flat());
  const files = useQueries({ queries: [...new Set(ids)].map(existingFileQuery) });
  return new Map(files.flatMap(({ data }) => (data ? [[data.id, data.filename]] : [])));
}

function halves(text = ""): [string | undefined, string | undefined] {
  const [low, high] = text.split("-");
  return [low, high];
}
