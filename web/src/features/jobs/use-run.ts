/** A run's numbers for the page: loaded once, then extended by streamed points. */
import { useQuery } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { hasEnded, type Job, type JobEvent } from "@/features/jobs/api";
import { buckets, join, type Series, seriesQuery } from "@/features/jobs/series";
import { useJobStream } from "@/features/jobs/use-job-stream";

export type Run = {
  /** The whole run, for the verdict. */
  all: Series;
  /** The data of the charts: the zoomed range, or the whole run. */
  shown: Series;
  range: [number, number] | null;
  events: JobEvent[];
  broken: boolean;
  loading: boolean;
  error: Error | null;
};

export function useRun(job: Job): Run {
  const search = useSearch({ from: "/shell/jobs/$jobId" });
  const range = useMemo(() => rangeOf(search.x0, search.x1), [search.x0, search.x1]);
  const history = useQuery(seriesQuery(job.id, null));
  const zoomed = useQuery({ ...seriesQuery(job.id, range), enabled: range !== null });
  const place = history.data && !hasEnded(job) ? history.data.cursor : null;
  const live = useJobStream(job.id, place, history.data?.series);

  const all = useMemo(
    () => join(history.data?.series ?? {}, live.series, null),
    [history.data, live.series],
  );
  const shown = useMemo(
    () => (range && zoomed.data ? closer(join(zoomed.data.series, live.series, range), all) : all),
    [range, zoomed.data, live.series, all],
  );
  const { events, broken } = live;
  const { isPending: loading, error } = history;
  return useMemo(
    () => ({ all, shown, range, events, broken, loading, error }),
    [all, shown, range, events, broken, loading, error],
  );
}

/** Evaluations are few: those outside the range stay, so that their lines continue to the edge. */
function closer(zoomed: Series, all: Series): Series {
  const few = Object.entries(all).filter(
    ([key, points]) => key.startsWith("held_out:") && points.length < buckets() / 2,
  );
  return { ...zoomed, ...Object.fromEntries(few) };
}

export function rangeOf(x0: string | undefined, x1: string | undefined): [number, number] | null {
  const [low, high] = [Number(x0), Number(x1)];
  return x0 && x1 && Number.isFinite(low) && high > low ? [low, high] : null;
}
