/** A conversation: the messages before its first turn, and each turn with its two answers. */
import type { Pair } from "@/features/playground/api/held-out";
import {
  type Comparison,
  type ComparisonAction,
  comparisonReducer,
  UNASKED,
} from "@/features/playground/comparison";

export type Message = { role: "system" | "user" | "assistant"; content: string };

export type SideIndex = 0 | 1;

export const NAMES = ["A", "B"] as const;

export type HeldOut = { jobId: string; pair: Pair };

export type Turn = {
  id: number;
  prompt: string;
  /** The held-out pair, if the prompt is that pair's prompt, unchanged. */
  heldOut: HeldOut | null;
  /** The models that were asked, in the order of the sides. */
  models: [string, string];
  comparison: Comparison;
};

export type TurnsAction =
  | { type: "ask"; turn: Omit<Turn, "comparison"> }
  | { type: "of_turn"; id: number; action: ComparisonAction };

export function turnsReducer(turns: Turn[], action: TurnsAction): Turn[] {
  if (action.type === "ask") {
    // A retry replaces the turn whose answers failed.
    const before = turns.filter(({ id }) => id < action.turn.id);
    return [...before, { ...action.turn, comparison: UNASKED }];
  }
  return turns.map((turn) =>
    turn.id === action.id
      ? { ...turn, comparison: comparisonReducer(turn.comparison, action.action) }
      : turn,
  );
}

/** The parts of a prompt: its system prompt, the earlier messages, and the open question. */
export function unpack(prompt: Message[]): { system: string; opening: Message[]; draft: string } {
  const said = prompt.filter(({ role }) => role !== "system");
  const last = said.at(-1);
  const isOpen = last?.role === "user";
  return {
    system: prompt
      .filter(({ role }) => role === "system")
      .map(({ content }) => content)
      .join("\n\n"),
    opening: isOpen ? said.slice(0, -1) : said,
    draft: isOpen ? last.content : "",
  };
}

/** Whether a turn stays in a side's history: one without an answer would confuse its model. */
export function isRemembered(turn: Turn, side: SideIndex): boolean {
  const { status, text } = turn.comparison.sides[side];
  return status !== "failed" && text !== "";
}

/** The messages for one side: the system prompt, its own history, and the new prompt. */
export function messagesFor(
  side: SideIndex,
  said: { system: string; opening: Message[]; turns: Turn[]; prompt: string },
): Message[] {
  const system = said.system.trim();
  return [
    ...(system ? [{ role: "system" as const, content: system }] : []),
    ...said.opening,
    ...said.turns
      .filter((turn) => isRemembered(turn, side))
      .flatMap((turn): Message[] => [
        { role: "user", content: turn.prompt },
        { role: "assistant", content: turn.comparison.sides[side].text },
      ]),
    { role: "user", content: said.prompt },
  ];
}
