/** What an evaluation found, in words: numbers with their intervals, and what they allow to say. */
import type { Counts, Estimate, Evaluation, Score, Side } from "@/features/evaluations/objects";
import { duration, number, percent, signed } from "@/lib/format";

type Unit = "share" | "number";
/** `isSimilarity`: a lower value is more diverse. */
type Metric = { title: string; unit: Unit; means: string; isSimilarity?: true };

const METRICS: Record<string, Metric> = {
  prompt_strict: {
    title: "Prompts, strict",
    unit: "share",
    means: "Share of prompts whose answer follows all of the prompt's instructions.",
  },
  prompt_loose: {
    title: "Prompts, loose",
    unit: "share",
    means: "As strict; an introduction, an ending and stars around words are forgiven.",
  },
  instruction_strict: {
    title: "Instructions, strict",
    unit: "share",
    means: "Share of single instructions that are followed.",
  },
  instruction_loose: {
    title: "Instructions, loose",
    unit: "share",
    means: "As strict; an introduction, an ending and stars around words are forgiven.",
  },
  win_rate: {
    title: "Win rate",
    unit: "share",
    means: "How often the judge prefers the model's answer to the baseline's; a draw counts half.",
  },
  reward: {
    title: "Reward",
    unit: "number",
    means: "The mean reward of the answers. Its scale is the reward model's own.",
  },
  win_rate_length_controlled: {
    title: "Win rate, length-controlled",
    unit: "share",
    means: "The win rate if both answers were of equal length, by a regression.",
  },
  accuracy: {
    title: "Accuracy",
    unit: "share",
    means: "Share of pairs whose chosen answer has the higher odds.",
  },
  log_odds_ratio: {
    title: "Log odds ratio",
    unit: "number",
    means: "The log odds of the chosen answer minus those of the rejected one.",
  },
  margin: {
    title: "Margin",
    unit: "number",
    means:
      "The mean log-prob of a token of the chosen answer minus that of the rejected one, in nats.",
  },
  logps_chosen: {
    title: "Log-prob, chosen",
    unit: "number",
    means: "The mean log-prob of a token of the chosen answer, in nats.",
  },
  logps_rejected: {
    title: "Log-prob, rejected",
    unit: "number",
    means: "The same of the rejected answer.",
  },
  average: {
    title: "Agrees with people",
    unit: "share",
    means: "Over both orders of the answers.",
  },
  both: {
    title: "Right in both orders",
    unit: "share",
    means: "Names the answer that people prefer, whichever is shown first.",
  },
  equal: {
    title: "Same in both orders",
    unit: "share",
    means: "Names the same answer, whichever is shown first.",
  },
  decided: {
    title: "Against a coin",
    unit: "share",
    means: "Without the pairs that people call equal; a draw counts half. A coin has 50%.",
  },
  rating_turn_1: { title: "Rating, turn 1", unit: "number", means: "Of the first answers." },
  rating_turn_2: { title: "Rating, turn 2", unit: "number", means: "Of the second answers." },
  per_input: {
    title: "Similarity of samples",
    unit: "number",
    means: "Of two answers to the same prompt; 1 is the same answer. Lower is more diverse.",
    isSimilarity: true,
  },
  across_input: {
    title: "Similarity across prompts",
    unit: "number",
    means: "Of answers to two different prompts. Lower is more diverse.",
    isSimilarity: true,
  },
  rating: { title: "Rating", unit: "number", means: "The judge's mean rating, from 1 to 10." },
};

/** A metric's title, unit and meaning; of an unknown one, its name as it is. */
export const metricOf = (name: string): Metric =>
  METRICS[name] ?? { title: capitalised(name), unit: "number", means: "" };

const capitalised = (name: string) => {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

/** Two digits after the point, also of a round number, so that columns can be compared. */
const fixed = (value: number) => `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(2)}`;

/** `42.1%` or `1.25`: a value in its metric's unit. */
export function valueText(metric: string, value: number | null | undefined): string {
  if (metricOf(metric).unit === "share") return percent(value, 1);
  return value == null ? number(value) : fixed(value);
}

/** `38.2% to 46.3%`; null if there is none, as for one prompt. */
export function intervalText(metric: string, estimate: Estimate): string | null {
  const { low, high } = estimate;
  if (low == null || high == null) return null;
  return `${valueText(metric, low)} to ${valueText(metric, high)}`;
}

/** `+3.1 points` of a share, `+0.25` of a number. */
export function differenceText(metric: string, value: number): string {
  return metricOf(metric).unit === "share" ? `${signed(100 * value, 1)} points` : signed(value);
}

export function differenceInterval(metric: string, estimate: Estimate): string | null {
  const { low, high } = estimate;
  if (low == null || high == null) return null;
  const factor = metricOf(metric).unit === "share" ? 100 : 1;
  const digits = factor === 100 ? 1 : 2;
  return `${signed(factor * low, digits)} to ${signed(factor * high, digits)}`;
}

export type Reading = "better" | "worse" | "unsure" | "too_few";

/** What a difference's interval allows to say: it must exclude `level`, where nothing differs. */
export function readingOf(estimate: Estimate, level = 0): Reading {
  const { low, high } = estimate;
  if (low == null || high == null) return "too_few";
  if (low > level) return "better";
  return high < level ? "worse" : "unsure";
}

export const READINGS: Record<Reading, string> = {
  better: "better, more than chance",
  worse: "worse, more than chance",
  unsure: "can’t tell yet",
  too_few: "too few prompts",
};

const OPPOSITE: Record<Reading, Reading> = {
  better: "worse",
  worse: "better",
  unsure: "unsure",
  too_few: "too_few",
};

/** What a metric's difference to the baseline allows to say: less similar is better. */
export function differenceReading(metric: string, estimate: Estimate): Reading {
  const reading = readingOf(estimate);
  return metricOf(metric).isSimilarity ? OPPOSITE[reading] : reading;
}

/** A reading in a metric's words. */
export function readingText(metric: string, reading: Reading): string {
  if (!metricOf(metric).isSimilarity) return READINGS[reading];
  return READINGS[reading].replace("better", "more diverse").replace("worse", "less diverse");
}

/** 1 if a higher value of a metric is better, -1 if a lower one is. */
export const directionOf = (metric: string | undefined) =>
  metricOf(metric ?? "").isSimilarity ? -1 : 1;

/** The suite of a judge's agreement with people: no model is asked for answers. */
export const AGREEMENT = "agreement";
/** The suite that measures models on the pairs of a file: no model is asked for answers. */
export const HELD_OUT = "held_out";

/** What an evaluation is about, in the plural. */
export const itemsOf = ({ suite }: Pick<Evaluation, "suite">) =>
  suite.name === HELD_OUT || suite.name === AGREEMENT ? "pairs" : "prompts";

// With fewer pairs, an interval from a bootstrap is too narrow.
const FEW = 30;

/** The suite that asks each prompt several times. */
export const DIVERSITY = "diversity";

const ENDED = ["succeeded", "failed", "cancelled"];

export const hasEnded = ({ status }: Pick<Evaluation, "status">) => ENDED.includes(status);

/** Suites whose evaluations hold no answers of the models. */
const WITHOUT_ANSWERS = [AGREEMENT, HELD_OUT];

/** Whether its answers can be voted on: there are two to one prompt. */
export function hasCards({ status, suite, baseline, samples }: Evaluation): boolean {
  const hasTwo = baseline !== null || suite.name === "alpaca_eval" || (samples ?? 1) > 1;
  return status === "succeeded" && hasTwo && !WITHOUT_ANSWERS.includes(suite.name);
}

/** A side's name; of an endpoint, with its host. */
export function sideName({ model, base_url }: Pick<Side, "model" | "base_url">): string {
  return base_url ? `${model} at ${hostOf(base_url)}` : model;
}

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

/** `acme/tuned against acme/base`. */
export function comparedInWords({ model, baseline }: Pick<Evaluation, "model" | "baseline">) {
  return baseline ? `${sideName(model)} against ${sideName(baseline)}` : sideName(model);
}

/** Win rates of two models add up to 1, so the baseline's and the difference say nothing new. */
const withoutMirror = (score: Score): Score =>
  score.metric?.startsWith("win_rate") ? { ...score, baseline: null, difference: null } : score;

/** The scores over all prompts, in the suite's order. */
export const overall = (scores: readonly Score[]) =>
  scores.filter((score) => score.category == null).map(withoutMirror);

/** The scores of single categories. */
export const byCategory = (scores: readonly Score[]) =>
  scores.filter((score) => score.category != null).map(withoutMirror);

/** The number that stands for an evaluation in a list: its first score, or its win rate. */
export function headlineOf(evaluation: Pick<Evaluation, "scores" | "preference">): Score | null {
  const first = overall(evaluation.scores).find((score) => score.model != null);
  if (first) return first;
  const win = evaluation.preference?.win_rate;
  if (!win) return null;
  return { metric: "win_rate", category: null, model: win, baseline: null, difference: null };
}

/** Whether the model is better than its baseline, by the score that stands for the evaluation. */
export function headlineReading(score: Score): Reading | null {
  if (score.metric === "win_rate" && score.model) return readingOf(score.model, 0.5);
  return score.difference ? differenceReading(score.metric ?? "", score.difference) : null;
}

export type Note = { text: string; isBad: boolean };

const plural = (count: number, one: string, many: string) =>
  `${number(count)} ${count === 1 ? one : many}`;

/** What a reader must know before the numbers: what is missing, cut off or left out. */
export function notesOf(
  evaluation: Pick<
    Evaluation,
    | "suite"
    | "counts"
    | "excluded"
    | "is_subset"
    | "is_incomplete"
    | "seed"
    | "status"
    | "judges_itself"
    | "diversity"
  >,
): Note[] {
  const { suite, counts, excluded, is_subset, is_incomplete, seed, judges_itself, diversity } =
    evaluation;
  const notes: Note[] = [];
  const say = (isSaid: unknown, text: string, isBad = true) => {
    if (isSaid) notes.push({ text, isBad });
  };
  const { of = 0, prompts = 0, answered = 0, judged = 0 } = counts;
  const isOfLabels = suite.name === AGREEMENT;
  const isHeldOut = suite.name === HELD_OUT;
  const [one, many] = isOfLabels || isHeldOut ? ["pair", "pairs"] : ["prompt", "prompts"];
  const done = isOfLabels ? judged : answered;
  const did = isOfLabels ? "judged" : isHeldOut ? "measured" : "answered";
  say(
    is_subset,
    `A subset: ${number(prompts)} of ${plural(of, one, many)}, drawn with seed ${seed}.`,
    false,
  );
  say(
    isHeldOut && evaluation.status === "succeeded" && done < FEW,
    `Few pairs: ${plural(done, "pair was", "pairs were")} measured. Below ${FEW}, the intervals are too narrow.`,
  );
  say(
    is_incomplete && hasEnded(evaluation),
    `Incomplete: ${number(done)} of ${plural(prompts, `${one} was`, `${many} were`)} ${did}, under 95%.`,
  );
  for (const { reason, pairs = 0, line, message } of excluded)
    say(true, `${plural(pairs, "pair", "pairs")} left out (${reason}). Line ${line}: ${message}`);
  say(judges_itself, `The judge is the ${judges_itself} itself: models prefer their own answers.`);
  say(
    diversity?.truncated,
    `Of ${plural(diversity?.truncated ?? 0, "answer", "answers")} only the first ${number(diversity?.max_tokens)} tokens were compared: the embedder reads no more.`,
  );
  say(
    diversity,
    "Similarity says how alike answers are, not how good: nonsense is diverse, too.",
    false,
  );
  notes.push(...lossesOf(counts));
  return notes;
}

function lossesOf(counts: Counts): Note[] {
  const { cut_off = 0, unparsed = 0, failed = 0, empty = 0, repeated = 0 } = counts;
  const said: [number, string, boolean][] = [
    [
      cut_off,
      `${plural(cut_off, "answer was", "answers were")} cut off at max_tokens: raise it, or read their scores with care.`,
      true,
    ],
    [
      unparsed,
      `${plural(unparsed, "reply", "replies")} of the judge had no verdict and ${unparsed === 1 ? "counts" : "count"} nowhere.`,
      true,
    ],
    [
      failed,
      `${plural(failed, "answer or judgment is", "answers and judgments are")} missing: the items say why.`,
      true,
    ],
    [empty, `${plural(empty, "row", "rows")} of the file without a prompt: left out.`, false],
    [
      repeated,
      `${plural(repeated, "row repeats", "rows repeat")} another's prompt: left out.`,
      false,
    ],
  ];
  return said.flatMap(([count, text, isBad]) => (count > 0 ? [{ text, isBad }] : []));
}

const PHASES: Record<string, string> = {
  waiting_for_models: "Waiting until the models can answer",
  answers: "Answers",
  judgments: "Judgments",
  likelihoods: "Likelihoods of the pairs",
  embeddings: "Comparing the answers",
  scores: "Computing the scores",
};

/** Where an evaluation that has not ended stands: a share of the phase, if known, and a phrase. */
export function phaseOf({ status, progress }: Pick<Evaluation, "status" | "progress">): {
  share: number | null;
  says: string;
} {
  const { phase, done, total, eta_s, retry } = progress ?? {};
  if (retry?.attempt)
    return { share: null, says: `Waiting for attempt ${retry.attempt}, as the last one broke off` };
  if (status === "queued") return { share: null, says: "Waiting for a free worker" };
  const says = PHASES[phase ?? ""];
  if (!says) return { share: null, says: "Reading the prompts" };
  const isCounted = ["answers", "judgments", "likelihoods", "embeddings"].includes(phase ?? "");
  if (!isCounted || done == null || !total) return { share: null, says };
  const left = eta_s == null ? "" : `, ${duration(eta_s)} left`;
  return {
    share: Math.min(1, done / total),
    says: `${says}: ${number(done)} of ${number(total)}${left}`,
  };
}
