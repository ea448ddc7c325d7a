/** What a deep audit says, in words. */
import type { Schema } from "@/lib/api";
import { duration, number, percent } from "@/lib/format";

type DeepAudit = Schema<"DeepAuditObject">;
type Share = Schema<"Share">;

export const LIKELY_SWAPPED = "likely_swapped";

const OPINIONS: Record<string, string> = {
  likely_swapped: "likely swapped",
  unclear: "unclear",
  supported: "supported",
};

export const opinionInWords = (opinion: string) =>
  OPINIONS[opinion] ?? opinion.replaceAll("_", " ");

const ENDED = ["succeeded", "failed", "cancelled"];

export const hasEnded = ({ status }: Pick<DeepAudit, "status">) => ENDED.includes(status);

/** Where an audit that has not ended stands: the share of its steps, if it is known, and a phrase. */
export function phaseOf({ status, progress }: Pick<DeepAudit, "status" | "progress">): {
  share: number | null;
  says: string;
} {
  const { step, steps, eta_s, preparing, retry } = progress ?? {};
  if (status === "validating_files" && preparing)
    return {
      share: null,
      says: `Read ${number(preparing.tokenised)} of ${number(preparing.pairs)} pairs`,
    };
  if (status === "validating_files") return { share: null, says: "Reading the pairs" };
  if (retry?.attempt)
    return { share: null, says: `Waiting for attempt ${retry.attempt}, as the last one broke off` };
  if (status === "queued") return { share: null, says: "Waiting for a free worker" };
  if (!step || !steps) return { share: null, says: "Loading the base model" };
  if (step >= steps) return { share: 1, says: "Weighing the opinions" };
  const left = eta_s ? `, ${duration(eta_s)} left` : "";
  return { share: step / steps, says: `Step ${number(step)} of ${number(steps)}${left}` };
}

/** `12% (8% to 17%)`: a share with the ends of its interval. */
export function shareInWords(share: Share | null | undefined): string {
  if (share?.share === undefined) return percent(null);
  if (share.low === undefined || share.high === undefined) return percent(share.share);
  return `${percent(share.share)} (${percent(share.low)} to ${percent(share.high)})`;
}

// The judge's accuracy, and the share of swapped pairs among as many of the most suspicious ones,
// if a tenth of the pairs is swapped: docs/data.md, "What it finds".
const FOUND: readonly (readonly [number, number])[] = [
  [0.5, 0.1],
  [0.6, 0.2],
  [0.7, 0.34],
  [0.8, 0.53],
  [0.85, 0.63],
  [0.9, 0.75],
  [0.92, 0.79],
  [0.95, 0.87],
  [0.99, 0.97],
];

/** The share of wrong choices to expect among the most suspicious pairs, at a judge's accuracy. */
export function expectedShare(accuracy: number): number {
  const above = FOUND.findIndex(([known]) => known >= accuracy);
  const [to, end] = FOUND[above] ?? [1, 0.97];
  const [from, begin] = FOUND[above - 1] ?? [to, end];
  return to === from ? end : begin + ((end - begin) * (accuracy - from)) / (to - from);
}

const LOW_ACCURACY = 0.9;

/** Why the result of a weak judge must be read with care; null for a judge that is good enough. */
export function warningOf({ accuracy }: { accuracy?: Share | undefined }): string | null {
  const share = accuracy?.share;
  if (share === undefined || share >= LOW_ACCURACY) return null;
  return (
    `The judge shares only ${percent(share)} of the file's choices, so it takes many right choices ` +
    "for wrong ones. Read the estimate as an upper limit, and read each pair before you change it: " +
    `if a tenth of the choices were wrong, about ${percent(expectedShare(share))} of the most ` +
    "suspicious pairs would be."
  );
}
