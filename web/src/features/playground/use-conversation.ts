import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useReducer, useRef } from "react";
import { ask, type Question, stopSide } from "@/features/playground/api/comparisons";
import { bothEnded, type ComparisonAction, hasEnded } from "@/features/playground/comparison";
import { type Turn, turnsReducer } from "@/features/playground/conversation";
import { ApiError, isSignedOut } from "@/lib/api";
import { sessionQuery } from "@/lib/queries";

/** The turns and their actions. Leaving the page ends unfinished answers. */
export function useConversation() {
  const [turns, dispatch] = useReducer(turnsReducer, []);
  const connection = useRef<AbortController | null>(null);
  const queries = useQueryClient();
  const last = turns.at(-1);

  useEffect(() => () => connection.current?.abort(), []);
  useStops(last, dispatch);

  const send = async (turn: Omit<Turn, "comparison">, question: Question) => {
    connection.current?.abort();
    const begun = new AbortController();
    connection.current = begun;
    const { signal } = begun;
    const tell = (action: ComparisonAction) => {
      if (!signal.aborted) dispatch({ type: "of_turn", id: turn.id, action });
    };
    dispatch({ type: "ask", turn });
    try {
      await ask(question, signal, (events) => tell({ type: "heard", events }));
      tell({ type: "ended", message: "The server ended the stream before this answer's end." });
    } catch (error) {
      // The session query redirects a signed-out user to the sign-in page.
      if (isSignedOut(error)) queries.invalidateQueries(sessionQuery);
      tell(broken(error));
    }
  };

  const stop = useCallback(
    (...which: number[]) => {
      if (!last || bothEnded(last.comparison)) return;
      const tell = (action: ComparisonAction) => dispatch({ type: "of_turn", id: last.id, action });
      const { id, sides } = last.comparison;
      for (const side of which) tell({ type: "stopped", side });
      const isAll = sides.every(
        (side, at) => hasEnded(side) || side.status === "stopping" || which.includes(at),
      );
      // The server has not answered yet, so there is no comparison to stop.
      if (isAll && id === null) {
        connection.current?.abort();
        tell({ type: "abandoned" });
      }
    },
    [last],
  );

  const voted = (id: number, choice: Turn["comparison"]["choice"]) =>
    dispatch({ type: "of_turn", id, action: { type: "voted", choice } });

  return { turns, last, send, stop, voted };
}

/** Sends a stop request for each side that was stopped here, once the comparison's id is known. */
function useStops(
  last: Turn | undefined,
  dispatch: (action: { type: "of_turn"; id: number; action: ComparisonAction }) => void,
) {
  const told = useRef(new Set<string>());
  useEffect(() => {
    const id = last?.comparison.id;
    if (!last || !id) return;
    last.comparison.sides.forEach(({ status }, side) => {
      const name = `${id} ${side}`;
      if (status !== "stopping" || told.current.has(name)) return;
      told.current.add(name);
      stopSide(id, side).catch((error: Error) => {
        told.current.delete(name);
        const { message } = error;
        dispatch({ type: "of_turn", id: last.id, action: { type: "stop_failed", side, message } });
      });
    });
  }, [last, dispatch]);
}

function broken(error: unknown): ComparisonAction {
  if (error instanceof SyntaxError)
    return { type: "ended", message: "The server sent what this page can't read." };
  if (!(error instanceof ApiError))
    return { type: "ended", message: "The connection broke off before the end." };
  if (error.status === 0) return { type: "ended", message: error.message };
  const side = /^(?:models|sides)\.([01])/.exec(error.param ?? "")?.[1];
  return { type: "refused", message: error.message, side: side ? Number(side) : null };
}
