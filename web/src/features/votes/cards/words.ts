/** What a vote is called, and what became of one, in words. */
import type { Comparison } from "@/features/votes/cards/api";
import type { Schema } from "@/lib/api";

export type Choice = Schema<"Choice">;
export type Reason = Schema<"Reason">;

export const CHOICES: { choice: Choice; key: string; label: string }[] = [
  { choice: "a", key: "1", label: "A is better" },
  { choice: "b", key: "2", label: "B is better" },
  { choice: "tie", key: "3", label: "Tie" },
  { choice: "both_bad", key: "4", label: "Both bad" },
];

export const REASONS: { value: Reason; label: string }[] = [
  { value: "correct", label: "It is right" },
  { value: "follows_instructions", label: "It does what was asked" },
  { value: "clear", label: "It is clearer" },
  { value: "complete", label: "It is more complete" },
  { value: "short", label: "It is shorter" },
  { value: "style", label: "Its style is better" },
  { value: "safe", label: "It is safer" },
  { value: "other", label: "Another reason" },
];

export const NAMES = ["A", "B"] as const;

/** Which model gave each answer, and which was chosen: "A was base, B was tuned; you chose B." */
export function revealedText({ sides, choice }: Comparison): string {
  const who = sides.map(({ model }, at) => `${NAMES[at]} was ${model ?? "unknown"}`).join(", ");
  return `${who}; ${choiceText(choice)}.`;
}

export function choiceText(choice: Comparison["choice"]): string {
  if (choice === "a" || choice === "b") return `you chose ${choice.toUpperCase()}`;
  return choice === "tie" ? "you called it a tie" : "you called both bad";
}
