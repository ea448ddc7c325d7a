/** The stream of an evaluation that has not ended: its state and events, reconnecting after breaks. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { keys } from "@/features/evaluations/api";
import type { Evaluation } from "@/features/evaluations/objects";
import { follow } from "@/features/jobs/follow";

/** Follow an evaluation until it ends; returns whether the connection is broken now. */
export function useEvaluationStream(id: string, isAlive: boolean): { broken: boolean } {
  const queries = useQueryClient();
  const [broken, setBroken] = useState(false);
  // The stream ends by itself: it must not be left at the state that says so, but at its end.
  const [follows] = useState(isAlive);

  useEffect(() => {
    if (!follows) return;
    let told = 0;
    let phase: string | null | undefined;

    return follow({
      url: `/v1/evaluations/${encodeURIComponent(id)}/stream`,
      from: "",
      show: (current) => {
        const state = current.job as Partial<Evaluation>;
        queries.setQueryData<Evaluation>(keys.one(id), (known) => known && { ...known, ...state });
        if (current.events.length > told)
          queries.invalidateQueries({ queryKey: [...keys.results(id), "events"] });
        told = current.events.length;
        // Items come with the first phase, and their answers with the next ones.
        if (state.progress?.phase !== phase)
          queries.invalidateQueries({ queryKey: [...keys.results(id), "items"] });
        phase = state.progress?.phase;
        return current;
      },
      onBroken: setBroken,
      onEnd: () => {
        // Scores, counts and items are final only now.
        queries.invalidateQueries({ queryKey: keys.one(id) });
        queries.invalidateQueries({ queryKey: keys.results(id) });
        queries.invalidateQueries({ queryKey: keys.lists });
      },
    });
  }, [id, follows, queries]);

  return { broken };
}
