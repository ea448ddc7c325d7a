/** One vote in words, and where its question can be asked again. */
import type { Vote } from "@/features/votes/api";
import type { Schema } from "@/lib/api";

export const NAMES = ["A", "B"] as const;

// A question travels in the address of a page, which must not become too long.
const LONGEST_ASKED = 4_000;

/** The side of the better answer; null for a tie and for two bad answers. */
export function betterSide({ choice }: Pick<Vote, "choice">): 0 | 1 | null {
  if (choice === "a") return 0;
  return choice === "b" ? 1 : null;
}

/** What both sides were asked; null if they were asked different things. */
export function askedOf({ sides }: Pick<Vote, "sides">): Schema<"MessageObject">[] | null {
  const [first, ...others] = sides.map(({ asked }) => asked.messages ?? []);
  if (!first) return null;
  const text = JSON.stringify(first);
  return others.every((messages) => JSON.stringify(messages) === text) ? first : null;
}

export type Again = { a: string; b: string; job?: string; line?: string; ask?: string };

/**
 * The search of a playground that asks both models the question again; null for a conversation,
 * which a link can't hold.
 */
export function askAgain(vote: Pick<Vote, "sides" | "held_out">): Again | null {
  const [a, b] = vote.sides.map(({ model }) => model);
  if (!a || !b) return null;
  if (vote.held_out) return { a, b, job: vote.held_out.job_id, line: String(vote.held_out.line) };
  const [question, ...others] = askedOf(vote) ?? [];
  if (question?.role !== "user" || others.length > 0) return null;
  const ask = question.content ?? "";
  return ask !== "" && ask.length <= LONGEST_ASKED ? { a, b, ask } : null;
}

/** Who voted: the name of the key, and whether it is one's own. */
export function voterText({ voted_by, voter }: Pick<Vote, "voted_by" | "voter">, own?: string) {
  if (!voted_by) return "an unknown key";
  return voted_by === own ? `${voter ?? voted_by} (you)` : (voter ?? voted_by);
}

type Tuned = Pick<Schema<"ModelObject">, "id" | "job_id">;

/** The first of these models that a run has made, with that run; also of one of its checkpoints. */
export function tunedOf(
  names: readonly string[],
  models: readonly Tuned[],
): { model: string; jobId: string } | null {
  for (const model of names) {
    const made = models.find(({ id }) => model === id || model.startsWith(`${id}:ckpt-step-`));
    if (made?.job_id) return { model, jobId: made.job_id };
  }
  return null;
}
