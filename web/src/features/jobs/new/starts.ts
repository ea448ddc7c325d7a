/** The models that a new run can start from. */
import type { Schema } from "@/lib/api";

export type Model = Schema<"ModelObject">;

/** Bases, and tuned models that answer; one of which a base is ready stands among the bases only. */
export function startsOf(models: readonly Model[]): { bases: Model[]; tuned: Model[] } {
  const bases = models.filter(({ kind }) => kind === "base");
  const tuned = models.filter(
    ({ id, kind, use }) =>
      kind === "tuned" && use === "chat" && madeOf(models, id)?.status !== "ready",
  );
  return { bases, tuned };
}

/** The base that was made, or is being made, from a tuned model: a usable one before others. */
export function madeOf(models: readonly Model[], tuned: string): Model | undefined {
  const made = models.filter(({ kind, parent }) => kind === "base" && parent === tuned);
  return made.find(({ status }) => status === "ready") ?? made[0];
}
