/** A vote with its reason, its note and its edited answer, as the next one is made of it. */
import type { Choice } from "@/features/playground/api/comparison-events";
import type { Vote } from "@/features/playground/api/comparisons";
import type { SideIndex } from "@/features/playground/conversation";

/** The sides whose answer can be edited: the better one, or either one where none is better. */
export function editable(choice: Choice): SideIndex[] {
  if (choice === "a") return [0];
  return choice === "b" ? [1] : [0, 1];
}

/** The vote with another choice. An edit is kept only if its side can be edited with that choice. */
export function withChoice(vote: Vote | null, choice: Choice): Vote {
  const edit = vote?.edit;
  const keeps = edit && editable(choice).some((side) => side === edit.side);
  return { ...vote, choice, edit: keeps ? edit : null };
}
