/** The gates of a new run as they are typed, and as the API takes them. */
import type { Suite } from "@/features/evaluations/objects";
import type { Schema } from "@/lib/api";
import { typedNumber } from "@/lib/typed-number";

export type GateDraft = {
  suite: string;
  metric: string;
  data: string;
  at_least: string;
  judge: string;
  limit: string;
  /** Not in the form, but kept of an earlier run: with it, the same prompts are drawn. */
  seed: number | null;
};

/** A gate of a suite with its first metric, to be filled in further. */
export function newGate(suite: Pick<Suite, "id" | "metrics">): GateDraft {
  const metric = suite.metrics[0] ?? "";
  return {
    suite: suite.id,
    metric,
    data: "",
    at_least: thresholdFor(metric),
    judge: "",
    limit: "",
    seed: null,
  };
}

/** A win rate is a comparison already; what else is measured may stay a little below the base. */
export const thresholdFor = (metric: string) =>
  metric.startsWith("win_rate") ? "0.5" : "base - 0.02";

export function gateOf(draft: GateDraft): Schema<"GateRequest"> {
  return {
    suite: draft.suite,
    metric: draft.metric,
    data: draft.data,
    at_least: typedNumber(draft.at_least) ?? "",
    judge: draft.judge || null,
    limit: typedNumber(draft.limit) as number | null,
    seed: draft.seed,
    deploy: true,
  };
}

/** The drafts that would give these gates again. */
export const draftsOf = (gates: readonly Schema<"GateObject">[]): GateDraft[] =>
  gates.map(({ suite = "", metric = "", data = "", at_least, judge, limit, seed }) => ({
    suite,
    metric,
    data,
    at_least: String(at_least ?? ""),
    judge: judge ?? "",
    limit: limit == null ? "" : String(limit),
    seed: seed ?? null,
  }));

const FIELDS = ["suite", "metric", "data", "at_least", "judge", "limit"];

/** Whether an error's field, such as `gates.0.metric`, is one of these drafts' fields. */
export function isGateField(param: string, drafts: readonly GateDraft[]): boolean {
  const [, place = "", field = ""] = /^gates\.(\d+)\.(\w+)$/.exec(param) ?? [];
  return FIELDS.includes(field) && Number(place) < drafts.length;
}
