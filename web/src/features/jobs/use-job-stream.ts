/** One stream per job: begins where the loaded history ends, and reconnects after every break. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { type Job, keys } from "@/features/jobs/api";
import { beyond, type Series, seriesKey } from "@/features/jobs/series";
import { backoff, reduce, type Streamed, start } from "@/features/jobs/stream";
import { pause } from "@/lib/pause";
import { events } from "@/lib/sse";

const REDRAW_MS = 250;
/** After this many streamed steps the history is loaded again, in buckets, and replaces them. */
const MOST_STEPS = 1000;

export type Live = Pick<Streamed, "series" | "events"> & { broken: boolean };

/** Follow the job from `place` on; null: the place is not known yet, or nothing more will come. */
export function useJobStream(jobId: string, place: string | null, history: Series = {}): Live {
  const queries = useQueryClient();
  const [state, setState] = useState<Streamed>(() => start(""));
  const [broken, setBroken] = useState(false);
  const from = useRef(place);
  from.current ??= place;
  const ready = place !== null;
  const known = useRef(history);
  known.current = history;

  useEffect(() => {
    if (!ready) return;
    const aborter = new AbortController();
    const { signal } = aborter;
    let current = start(from.current ?? "");
    let timer: ReturnType<typeof setTimeout> | undefined;

    let told = 0;
    let asked = false;
    const show = () => {
      timer = undefined;
      current = { ...current, series: beyond(known.current, current.series) };
      const isLong = Object.values(current.series).some(({ length }) => length > MOST_STEPS);
      if (isLong && !asked) queries.invalidateQueries({ queryKey: seriesKey(jobId) });
      asked = isLong;
      setState(current);
      // Pairs, samples and checkpoints change only with an event.
      if (current.events.length > told)
        for (const what of ["pairs", "samples", "checkpoints"])
          queries.invalidateQueries({ queryKey: [...keys.results(jobId), what] });
      told = current.events.length;
      queries.setQueryData<Job>(keys.job(jobId), (job) => job && { ...job, ...current.job });
    };
    const listen = async () => {
      const url = `/v1/fine_tuning/jobs/${jobId}/stream`;
      const headers = { "Last-Event-ID": current.lastId };
      for await (const message of events(url, { headers, signal })) {
        attempt = 0;
        setBroken(false);
        current = reduce(current, message);
        timer ??= setTimeout(show, REDRAW_MS);
      }
    };
    let attempt = 0;
    const follow = async () => {
      while (!signal.aborted && !current.ended) {
        await listen().catch(() => setBroken(true));
        if (!current.ended) await pause(backoff(attempt++), signal);
      }
      if (signal.aborted) return;
      clearTimeout(timer);
      show();
      // Values that are final only at the end: the result's name, the newest pairs, samples and
      // checkpoints.
      queries.invalidateQueries({ queryKey: keys.job(jobId) });
      queries.invalidateQueries({ queryKey: keys.list });
      queries.invalidateQueries({ queryKey: keys.results(jobId) });
    };
    follow();
    return () => {
      aborter.abort();
      clearTimeout(timer);
    };
  }, [jobId, ready, queries]);

  return { series: state.series, events: state.events, broken };
}
