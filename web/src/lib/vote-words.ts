/** Votes in words: choices, reasons, and what becomes of votes in a file of pairs. */
import type { Schema } from "@/lib/api";
import { number } from "@/lib/format";
import type { Bindings } from "@/lib/use-keys";

export type Choice = Schema<"Choice">;
export type Reason = Schema<"Reason">;
export type VoteCounts = Schema<"VoteCounts">;

export const CHOICES: Record<Choice, string> = {
  a: "A is better",
  b: "B is better",
  tie: "Tie",
  both_bad: "Both bad",
};

/** The choices with their keys, in the order of their buttons. */
export const CHOICE_KEYS: readonly { choice: Choice; key: string }[] = [
  { choice: "a", key: "1" },
  { choice: "b", key: "2" },
  { choice: "tie", key: "3" },
  { choice: "both_bad", key: "4" },
];

/** The keys of the choices, as `useKeys` binds them. */
export const voteKeys = (vote: (choice: Choice) => void): Bindings =>
  Object.fromEntries(
    CHOICE_KEYS.map(({ key, choice }) => [
      key,
      { does: `Vote: ${CHOICES[choice]}`, act: () => vote(choice) },
    ]),
  );

/** Nouns, because a reason may also say why both answers are bad. */
export const REASONS: Record<Reason, string> = {
  correct: "Correctness",
  follows_instructions: "Following the instructions",
  clear: "Clarity",
  complete: "Completeness",
  short: "Length",
  style: "Style",
  safe: "Safety",
  other: "Another reason",
};

/** The choice or reason that a link names; undefined for another text. */
export function named<Name extends string>(
  names: Record<Name, string>,
  text: string | undefined,
): Name | undefined {
  return text !== undefined && Object.hasOwn(names, text) ? (text as Name) : undefined;
}

/** `1 vote`, `1,200 votes`. */
export const votesText = (count: number) => (count === 1 ? "1 vote" : `${number(count)} votes`);

const pairsText = (count: number) => (count === 1 ? "1 pair" : `${number(count)} pairs`);

const LEFT_OUT: Partial<Record<keyof VoteCounts, string>> = {
  ties: "Ties: neither answer is better.",
  both_bad: "Both bad, without an edited answer.",
  not_a_pair: "The sides were asked different things, or gave the same answer.",
  cut_off: "The better answer was cut off at its maximum of tokens.",
  held_out: "The prompt is held out to evaluate a model that answered it.",
  contradictions: "Contradictions: other votes prefer the other one of the same two answers.",
  repeated: "Repetitions of a vote on the same two answers.",
};

export type LeftOut = { name: keyof VoteCounts; count: number; why: string };

/** The votes that become no pair, by the reason; reasons without a vote are left out. */
export function leftOut(counts: VoteCounts): LeftOut[] {
  const names = Object.keys(LEFT_OUT) as (keyof VoteCounts)[];
  return names
    .map((name) => ({ name, count: counts[name], why: LEFT_OUT[name] ?? "" }))
    .filter(({ count }) => count > 0);
}

/** `31 votes become 25 pairs, 4 of them with an edited answer.` */
export function becomesText({ votes, pairs, edited }: VoteCounts): string {
  const start = `${votesText(votes)} ${votes === 1 ? "becomes" : "become"} ${pairsText(pairs)}`;
  if (edited === 0) return `${start}.`;
  return `${start}, ${pairs === 1 ? "" : `${number(edited)} of them `}with an edited answer.`;
}
