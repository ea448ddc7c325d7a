/** What a run's page says of the gates of its job. Pure. */
import { awaitsGates, hasEnded, type Job } from "@/features/jobs/api";

export type Outcome = "passed" | "failed" | "waiting";

export type GateView = {
  key: string;
  name: string;
  atLeast: string;
  outcome: Outcome;
  sentence: string;
  evaluation: string | null;
};

type Gate = NonNullable<Job["gates"]>[number];
type Decided = NonNullable<NonNullable<Job["promotion"]>["gates"]>[number];

export function gatesOf(job: Job): GateView[] {
  if (job.promotion)
    return (job.promotion.gates ?? []).map((gate, place) => view(gate, place, decided(gate)));
  return (job.gates ?? []).map((gate, place) => view(gate, place, awaited(job, gate)));
}

type Said = Pick<GateView, "outcome" | "sentence">;

const view = (gate: Gate, place: number, said: Said): GateView => ({
  key: String(place),
  name: `${gate.suite} ${gate.metric}`,
  atLeast: String(gate.at_least),
  evaluation: gate.evaluation ?? null,
  ...said,
});

const decided = (gate: Decided): Said => ({
  outcome: gate.passed ? "passed" : "failed",
  sentence: gate.reason ?? "",
});

function awaited(job: Job, gate: Gate): Said {
  const outcome = "waiting";
  if (gate.evaluation)
    return { outcome, sentence: `The evaluation ${gate.evaluation} has not ended.` };
  if (job.status === "failed" || job.status === "cancelled")
    return { outcome, sentence: "The run left no model to evaluate." };
  return { outcome, sentence: "The model is evaluated once it is trained." };
}

export function promotionText(job: Job): string {
  if (job.promotion) return job.promotion.promoted ? "Promoted" : "Not promoted";
  if (hasEnded(job) && !awaitsGates(job)) return "Not evaluated";
  return "Not decided yet";
}
