/** The answers of both sides of one comparison so far, from the frames of its stream. */
import type {
  Attested,
  Choice,
  ComparisonEvent,
} from "@/features/playground/api/comparison-events";

export type Side = {
  /** `stopping`: stopped and frozen on this page; the server has not confirmed it yet. */
  status: "waiting" | "answering" | "stopping" | "done" | "failed";
  text: string;
  /** Text that arrived after the side was frozen; shown only if it could not be stopped. */
  unseen: string;
  attested: Attested | null;
  finishReason: string | null;
  tokens: number | null;
  firstTokenS: number | null;
  tokensPerS: number | null;
  error: string | null;
};

export type Comparison = {
  id: string | null;
  choice: Choice | null;
  /** The stream has ended; the server stores both answers before it sends this. */
  isOver: boolean;
  sides: [Side, Side];
};

export type ComparisonAction =
  | { type: "heard"; events: ComparisonEvent[] }
  /** The stream ended, successfully or not; `message` says why. */
  | { type: "ended"; message: string }
  /** The request was refused; `side` is the side that caused it, if only one did. */
  | { type: "refused"; message: string; side: number | null }
  | { type: "stopped"; side: number }
  | { type: "abandoned" }
  | { type: "stop_failed"; side: number; message: string }
  | { type: "voted"; choice: Choice | null };

const SILENT: Side = {
  status: "waiting",
  text: "",
  unseen: "",
  attested: null,
  finishReason: null,
  tokens: null,
  firstTokenS: null,
  tokensPerS: null,
  error: null,
};

export const UNASKED: Comparison = {
  id: null,
  choice: null,
  isOver: false,
  sides: [SILENT, SILENT],
};

export function hasEnded(side: Side): boolean {
  return side.status === "done" || side.status === "failed";
}

export function bothEnded({ sides }: Comparison): boolean {
  return sides.every(hasEnded);
}

/** Why a vote on this comparison is not possible yet; null if it is possible. */
export function voteNeeds({ id, isOver, sides }: Comparison): "wait" | "answers" | null {
  if (!isOver) return "wait";
  return id !== null && sides.every(({ text }) => text !== "") ? null : "answers";
}

export function comparisonReducer(state: Comparison, action: ComparisonAction): Comparison {
  switch (action.type) {
    case "heard":
      return action.events.reduce(hear, state);
    case "ended":
      return over(state, (side) => failed(side, action.message));
    case "refused":
      return over(state, (side, at) =>
        failed(
          side,
          action.side === null || action.side === at
            ? action.message
            : "Not asked, because the other side could not be asked.",
        ),
      );
    case "stopped":
      return onSide(state, action.side, (side) =>
        hasEnded(side) ? side : { ...side, status: "stopping", error: null },
      );
    case "abandoned":
      return over(state, (side) => ({
        ...side,
        status: "done",
        finishReason: "stopped",
        unseen: "",
      }));
    case "stop_failed":
      return onSide(state, action.side, (side) =>
        side.status !== "stopping"
          ? side
          : {
              ...side,
              status: "answering",
              text: side.text + side.unseen,
              unseen: "",
              error: `It could not be stopped and goes on. ${action.message}`,
            },
      );
    case "voted":
      return { ...state, choice: action.choice };
  }
}

function hear(state: Comparison, event: ComparisonEvent): Comparison {
  if ("comparison" in event) {
    const { id, choice, sides } = event.comparison;
    const of = (at: number) => sides.find(({ side }) => side === at) ?? null;
    const [a, b] = state.sides;
    return {
      ...state,
      id,
      choice: choice ?? null,
      sides: [
        { ...a, attested: of(0) },
        { ...b, attested: of(1) },
      ],
    };
  }
  if (!("side" in event)) return onUnfinished(state, (side) => failed(side, event.error.message));
  return onSide(state, event.side, (side) => {
    if (hasEnded(side)) return side;
    if ("error" in event) return failed(side, event.error.message);
    if ("delta" in event)
      return side.status === "stopping"
        ? { ...side, unseen: side.unseen + event.delta }
        : { ...side, status: "answering", text: side.text + event.delta };
    return {
      ...side,
      status: "done",
      unseen: "",
      error: null,
      // A side that was frozen here ends as stopped, even if it ended before the server got the
      // stop.
      finishReason: side.status === "stopping" ? "stopped" : (event.finish_reason ?? null),
      tokens: event.usage?.completion_tokens ?? null,
      firstTokenS: event.first_token_s ?? null,
      tokensPerS: event.tokens_per_s ?? null,
    };
  });
}

function failed(side: Side, message: string): Side {
  return { ...side, status: "failed", unseen: "", error: message };
}

function onSide(state: Comparison, at: number, change: (side: Side) => Side): Comparison {
  const [a, b] = state.sides;
  if (at === 0) return { ...state, sides: [change(a), b] };
  if (at === 1) return { ...state, sides: [a, change(b)] };
  return state;
}

function over(state: Comparison, change: (side: Side, at: number) => Side): Comparison {
  return { ...onUnfinished(state, change), isOver: true };
}

function onUnfinished(state: Comparison, change: (side: Side, at: number) => Side): Comparison {
  const [a, b] = state.sides;
  return {
    ...state,
    sides: [hasEnded(a) ? a : change(a, 0), hasEnded(b) ? b : change(b, 1)],
  };
}
