/** What became of a card's vote, in words. */
import type { Comparison } from "@/features/votes/cards/api";
import { NAMES } from "@/features/votes/vote";

/** Which model gave each answer, and which was chosen: "A was base, B was tuned; you chose B." */
export function revealedText({ sides, choice }: Comparison): string {
  const who = sides.map(({ model }, at) => `${NAMES[at]} was ${model ?? "unknown"}`).join(", ");
  return `${who}; ${choiceText(choice)}.`;
}

function choiceText(choice: Comparison["choice"]): string {
  if (choice === "a" || choice === "b") return `you chose ${choice.toUpperCase()}`;
  return choice === "tie" ? "you called it a tie" : "you called both bad";
}
