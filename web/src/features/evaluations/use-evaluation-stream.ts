/** The stream of an evaluation that has not ended: its state and events, reconnecting after breaks. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { keys } from "@/features/evaluations/api";
import type { Evaluation } from "@/features/evaluations/objects";
import { backoff, reduce, start } from "@/features/jobs/stream";
import { pause } from "@/lib/pause";
import { events } from "@/lib/sse";

const REDRAW_MS = 250;

/** Follow an evaluation until it ends; returns whether the connection is broken now. */
export function useEvaluationStream(id: string, isAlive: boolean): { broken: boolean } {
  const queries = useQueryClient();
  const [broken, setBroken] = useState(false);
  // The stream ends by itself: it must not be left at the state that says so, but at its end.
  const [follows] = useState(isAlive);

  useEffect(() => {
    if (!follows) return;
    const aborter = new AbortController();
    const { signal } = aborter;
    let current = start("");
    let timer: ReturnType<typeof setTimeout> | undefined;
    let attempt = 0;
    let told = 0;
    let phase: string | null | undefined;

    const show = () => {
      timer = undefined;
      const state = current.job as Partial<Evaluation>;
      queries.setQueryData<Evaluation>(keys.one(id), (known) => known && { ...known, ...state });
      if (current.events.length > told)
        queries.invalidateQueries({ queryKey: [...keys.results(id), "events"] });
      told = current.events.length;
      // Items come with the first phase, and their answers with the next ones.
      if (state.progress?.phase !== phase)
        queries.invalidateQueries({ queryKey: [...keys.results(id), "items"] });
      phase = state.progress?.phase;
    };
    const listen = async () => {
      const url = `/v1/evaluations/${encodeURIComponent(id)}/stream`;
      const headers = { "Last-Event-ID": current.lastId };
      for await (const message of events(url, { headers, signal })) {
        attempt = 0;
        setBroken(false);
        current = reduce(current, message);
        timer ??= setTimeout(show, REDRAW_MS);
      }
    };
    const follow = async () => {
      while (!signal.aborted && !current.ended) {
        await listen().catch(() => setBroken(true));
        if (!current.ended) await pause(backoff(attempt++), signal);
      }
      if (signal.aborted) return;
      clearTimeout(timer);
      show();
      // Scores, counts and items are final only now.
      queries.invalidateQueries({ queryKey: keys.one(id) });
      queries.invalidateQueries({ queryKey: keys.results(id) });
      queries.invalidateQueries({ queryKey: keys.lists });
    };
    follow();
    return () => {
      aborter.abort();
      clearTimeout(timer);
    };
  }, [id, follows, queries]);

  return { broken };
}
