import type { Schema } from "@/lib/api";

type Known = {
  job: Pick<Schema<"JobObject">, "model" | "fine_tuned_model"> | undefined;
  deployments: Pick<Schema<"DeploymentObject">, "model" | "base_model" | "status">[];
  models: Pick<Schema<"ModelObject">, "id" | "parent" | "use">[];
};

/** The likeliest choice of models: a base, and the newest model tuned from it. */
export function defaultModels({ job, deployments, models }: Known): { a?: string; b?: string } {
  if (job) return { a: job.model, b: job.fine_tuned_model ?? undefined };
  const served = deployments.find(
    ({ model, base_model, status }) => status === "ready" && model !== base_model,
  );
  if (served) return { a: served.base_model, b: served.model };
  const tuned = models.find(({ parent, use }) => parent !== null && use === "chat");
  if (tuned) return { a: tuned.parent ?? undefined, b: tuned.id };
  return { a: models[0]?.id };
}
