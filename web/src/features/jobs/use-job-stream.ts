/** One stream per job: begins where the loaded history ends, and reconnects after every break. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { type Job, keys } from "@/features/jobs/api";
import { follow } from "@/features/jobs/follow";
import { withNews } from "@/features/jobs/job";
import { beyond, type Series, seriesKey } from "@/features/jobs/series";
import { type Streamed, start } from "@/features/jobs/stream";

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
    let told = 0;
    let asked = false;

    return follow({
      url: `/v1/fine_tuning/jobs/${jobId}/stream`,
      from: from.current ?? "",
      show: (streamed) => {
        const current = { ...streamed, series: beyond(known.current, streamed.series) };
        const isLong = Object.values(current.series).some(({ length }) => length > MOST_STEPS);
        if (isLong && !asked) queries.invalidateQueries({ queryKey: seriesKey(jobId) });
        asked = isLong;
        setState(current);
        // Pairs, samples and checkpoints change only with an event.
        if (current.events.length > told)
          for (const what of ["pairs", "samples", "checkpoints"])
            queries.invalidateQueries({ queryKey: [...keys.results(jobId), what] });
        told = current.events.length;
        queries.setQueryData<Job>(keys.job(jobId), (job) => job && withNews(job, current.job));
        return current;
      },
      onBroken: setBroken,
      onEnd: () => {
        // Values that are final only at the end: the result's name, the newest pairs, samples and
        // checkpoints.
        queries.invalidateQueries({ queryKey: keys.job(jobId) });
        queries.invalidateQueries({ queryKey: keys.list });
        queries.invalidateQueries({ queryKey: keys.results(jobId) });
      },
    });
  }, [jobId, ready, queries]);

  return { series: state.series, events: state.events, broken };
}
