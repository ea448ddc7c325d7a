/** What a run reached on its held-out pairs, in a word and in a sentence. */
import type { Job } from "@/features/jobs/api";

/**
 * The conclusion from the intervals before and after. `behind`: it moved the right way, but on
 * average the rejected answer is still preferred.
 */
export type Reading = "helped" | "behind" | "unclear" | "hurt";

/** From the worst to the best: the order of the column. */
export const READINGS_IN_ORDER: readonly Reading[] = ["hurt", "unclear", "behind", "helped"];

export const READINGS: Record<Reading, string> = {
  helped: "It helped: the intervals before and after do not overlap.",
  behind:
    "It moved the right way, but is no success yet: on average the rejected answer is still preferred.",
  hurt: "It hurt: the intervals before and after do not overlap.",
  unclear: "The intervals before and after overlap: use more held-out pairs to decide.",
};

export function readingOf(isBetter: boolean, isWorse: boolean, margin: number | null): Reading {
  if (isBetter) return margin !== null && margin <= 0 ? "behind" : "helped";
  return isWorse ? "hurt" : "unclear";
}

type Measured = Pick<Job, "outcome">;

/** The newest accuracy on held-out pairs. */
export const accuracyOf = ({ outcome }: Measured) => outcome?.after.accuracy ?? null;

/** The newest log odds ratio; of a reward model its reward margin. */
export const marginOf = ({ outcome }: Measured) =>
  outcome?.after.reward_margin ?? outcome?.after.log_odds_ratio ?? null;

/** Whether the run helped, as its page says it; null before the second measurement. */
export function verdictWord({ outcome }: Measured): Reading | null {
  if (!outcome || outcome.before.step === outcome.after.step) return null;
  const { before, after } = outcome;
  if (before.accuracy === null || after.accuracy === null) return null;
  return readingOf(
    (after.accuracy_low ?? 0) > (before.accuracy_high ?? 1),
    (after.accuracy_high ?? 1) < (before.accuracy_low ?? 0),
    marginOf({ outcome }),
  );
}
