/** Judges a run from its numbers, in words: whether it is healthy, and whether it helped. */
import type { Point } from "@/components/chart/lines";
import { type Reading, readingOf } from "@/features/jobs/outcome";
import { gotWorse, type Judged, prefersRejected } from "@/features/jobs/run/pairs";
import type { Series } from "@/features/jobs/series";
import { number, percent, signed } from "@/lib/format";

export type Finding = { code: string; title: string; advice: string };

export type Verdict = {
  /** Empty: healthy. */
  findings: Finding[];
  /** Whether it is too early to judge the run's health. */
  early: boolean;
  /** The share of the steps whose gradient was clipped; null if the run clips none. */
  clipped: number | null;
  effect: Effect | null;
  worse: { worse: number; lost: number; won: number; behind: number; total: number } | null;
};

/** Facts of the job that its series do not hold. */
export type About = {
  /** How many pairs are held out; null if that is not known. */
  heldOut: number | null;
  /** The gradient norm above which a gradient is clipped; null or 0 clips none. */
  clip: number | null;
};

type Effect = {
  accuracy: { before: number; after: number; low: number; high: number } | null;
  margin: { name: string; before: number; after: number } | null;
  reading: Reading;
  heldOut: number | null;
};

// Nats a token; smaller changes of a mean log-prob occur in every healthy run.
const SINK = 0.1;
// A relative rise of the held-out loss above its minimum that is more than noise.
const OVERFIT = 0.02;
const EXPLODED = 5;
// Spikes are clipped in every run; more than these are not rare.
const OFTEN_CLIPPED = 0.1;
/** With 30 pairs, the 95% interval of an accuracy of 50% is 34 points wide. */
export const FEW_PAIRS = 30;

export function verdictOf(series: Series, pairs: readonly Judged[], about: About): Verdict {
  const checks = [notANumber, bothSinking, exploding, overfit];
  return {
    findings: checks.flatMap((check) => check(series) ?? []),
    early: (series["held_out:loss"] ?? []).length < 2 && (series["train:loss"] ?? []).length < 10,
    clipped: clippedOf(series, about.clip),
    effect: effectOf(series, about.heldOut),
    worse: worseOf(pairs),
  };
}

function notANumber(series: Series): Finding | null {
  for (const key of ["train:loss", "train:grad_norm", "held_out:loss"]) {
    const bad = series[key]?.find((point) => point.y === null);
    // A point that covers several steps has extremes if some of their values are numbers.
    const where = bad?.low === null ? "at" : "at or shortly before";
    if (bad)
      return {
        code: "nan",
        title: `The ${key === "train:grad_norm" ? "gradient" : "loss"} is NaN or infinite ${where} step ${bad.x}.`,
        advice: "Lower the learning rate, or compute in fp32.",
      };
  }
  return null;
}

function bothSinking(series: Series): Finding | null {
  const [chosen, rejected, margin] = ["logps/chosen", "logps/rejected", "log_odds_ratio"].map(
    (name) => moveOf(series[`held_out:${name}`]),
  );
  if (!chosen || !rejected || !margin) return null;
  if (chosen.by > -SINK || rejected.by > -SINK || margin.by <= 0) return null;
  return {
    code: "both_sinking",
    title: `Both sides sink while the margin grows: the chosen answers lost ${number(-chosen.by)} nats a token.`,
    advice: "The model also unlearns the chosen answers. Lower lambda or the learning rate.",
  };
}

function exploding(series: Series): Finding | null {
  const norms = (series["train:grad_norm"] ?? []).flatMap((point) => point.y ?? []);
  if (norms.length < 20) return null;
  const usual = median(norms.slice(0, Math.ceil(norms.length / 2)));
  const late = median(norms.slice(-Math.ceil(norms.length / 10)));
  if (late < EXPLODED * usual) return null;
  return {
    code: "exploding",
    title: `The gradient's norm has grown from ${number(usual)} to ${number(late)}.`,
    advice: "Lower the learning rate, or lengthen the warm-up.",
  };
}

function overfit(series: Series): Finding | null {
  const held = finite(series["held_out:loss"]);
  const last = held.at(-1);
  if (!last || held.length < 3) return null;
  const best = held.reduce((least, point) => (point.y < least.y ? point : least));
  if (last.y < best.y * (1 + OVERFIT)) return null;
  return {
    code: "overfit",
    title: `The held-out loss was lowest at step ${best.x} (${number(best.y)}) and has risen to ${number(last.y)}.`,
    advice: `Later steps overfit. Take the checkpoint at or before step ${best.x}, or train for fewer epochs.`,
  };
}

function clippedOf(series: Series, clip: number | null): number | null {
  const norms = (series["train:grad_norm"] ?? []).flatMap((point) => point.y ?? []);
  if (!clip || norms.length === 0) return null;
  return norms.filter((norm) => norm > clip).length / norms.length;
}

function effectOf(series: Series, heldOut: number | null): Effect | null {
  const accuracy = moveOf(series["held_out:accuracy"]);
  const reward = moveOf(series["held_out:reward/margin"]);
  const margin = reward ?? moveOf(series["held_out:log_odds_ratio"]);
  if (!accuracy && !margin) return null;
  const low = series["held_out:accuracy/low"] ?? [];
  const high = series["held_out:accuracy/high"] ?? [];
  const [lowBefore, lowAfter] = [low[0]?.y ?? 0, low.at(-1)?.y ?? 0];
  const [highBefore, highAfter] = [high[0]?.y ?? 1, high.at(-1)?.y ?? 1];
  return {
    accuracy: accuracy && { ...accuracy, low: lowAfter, high: highAfter },
    margin: margin && {
      name: reward ? "Reward margin" : "Log odds ratio",
      before: margin.before,
      after: margin.after,
    },
    reading: readingOf(lowAfter > highBefore, highAfter < lowBefore, margin?.after ?? null),
    heldOut,
  };
}

function worseOf(pairs: readonly Judged[]): Verdict["worse"] {
  if (pairs.length === 0) return null;
  const count = (fits: (pair: Judged) => boolean) => pairs.filter(fits).length;
  return {
    worse: count(gotWorse),
    lost: count((pair) => pair.fate === "lost"),
    won: count((pair) => pair.fate === "won"),
    behind: count(prefersRejected),
    total: pairs.length,
  };
}

export const accuracyText = (found: NonNullable<Effect["accuracy"]>, heldOut: number | null) =>
  `${percent(found.before)} → ${percent(found.after)} (${percent(found.low)} to ${percent(found.high)})${
    heldOut === null ? "" : ` of ${number(heldOut, 0)} held-out pairs`
  }`;

/** That the held-out pairs are few, with the interval that follows; null if there are enough. */
export function fewText({ heldOut, accuracy }: Effect): string | null {
  if (heldOut === null || heldOut >= FEW_PAIRS) return null;
  const pairs = heldOut === 1 ? "One held-out pair is" : `${heldOut} held-out pairs are`;
  const interval =
    accuracy &&
    `: the accuracy lies between ${percent(accuracy.low)} and ${percent(accuracy.high)}`;
  return `${pairs} few${interval ?? ""}.`;
}

/** What the norms of the gradients say of a run without a finding. */
export function gradientText(clipped: number | null): string {
  if (clipped === null || clipped < OFTEN_CLIPPED) return "the gradients are steady";
  return `the gradients are clipped in about ${percent(clipped)} of the steps`;
}

export const marginText = (found: NonNullable<Effect["margin"]>) =>
  `${signed(found.before)} → ${signed(found.after)}`;

/** First and last value of a series that has at least two. */
function moveOf(points: Point[] | undefined) {
  const known = finite(points);
  const [first, last] = [known[0], known.at(-1)];
  if (!first || !last || known.length < 2) return null;
  return { before: first.y, after: last.y, by: last.y - first.y };
}

const finite = (points: Point[] = []) =>
  points.flatMap(({ x, y }) => (y === null ? [] : [{ x, y }]));

function median(values: readonly number[]): number {
  const ordered = [...values].sort((a, b) => a - b);
  return ordered[ordered.length >> 1] ?? 0;
}
