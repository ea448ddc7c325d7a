/** The three sentences at the top of an evaluation: is it better, by how much, where is it worse. */
import type { Evaluation, Score } from "@/features/evaluations/objects";
import {
  byCategory,
  differenceInterval,
  differenceText,
  directionOf,
  headlineOf,
  headlineReading,
  intervalText,
  itemsOf,
  metricOf,
  type Reading,
  valueText,
} from "@/features/evaluations/words";
import { number } from "@/lib/format";

type Asked = Pick<Evaluation, "baseline" | "preference"> & Partial<Pick<Evaluation, "diversity">>;

/** The question that an evaluation answers. */
export function questionOf({ baseline, preference, diversity }: Asked) {
  if (diversity) return baseline ? "Is it more diverse than the baseline?" : "How diverse is it?";
  if (baseline) return "Is it better than the baseline?";
  return preference ? "Is it better than the answers in the file?" : "How good is it?";
}

/** The question on its losses. */
export function worseQuestion({ baseline, diversity }: Asked) {
  if (diversity) return "Where did it get less diverse?";
  return baseline ? "Where did it get worse?" : "Where is it worse?";
}

export type Verdict = { reading: Reading | null; answer: string; detail: string };

type Judged = Pick<Evaluation, "suite" | "scores" | "preference" | "baseline">;

const ANSWERS: Record<Reading, string> = {
  better: "Yes, more than chance",
  worse: "No, it is worse, more than chance",
  unsure: "Can’t tell yet",
  too_few: "Can’t tell from one prompt",
};

const OF_SIMILARITY: Record<Reading, string> = {
  ...ANSWERS,
  worse: "No, it is less diverse, more than chance",
};

/** What an evaluation says of its model; null without a score. */
export function verdictOf(evaluation: Judged): Verdict | null {
  const score = headlineOf(evaluation);
  if (!score?.model) return null;
  const metric = score.metric ?? "";
  const interval = intervalText(metric, score.model);
  const value = `${metricOf(metric).title} ${valueText(metric, score.model.value)}${interval ? ` (${interval})` : ""}`;
  const reading = headlineReading(score);
  const items = itemsOf(evaluation);
  if (!reading)
    return {
      reading,
      answer: value,
      detail: `On ${number(score.model.n)} ${items}. Without a baseline there is nothing to be better than.`,
    };
  const answers = metricOf(metric).isSimilarity ? OF_SIMILARITY : ANSWERS;
  return { reading, answer: answers[reading], detail: detailOf(score, value, reading, items) };
}

function detailOf(score: Score, value: string, reading: Reading, items: string): string {
  const { metric = "", difference, model } = score;
  const n = number(difference?.n ?? model?.n);
  const advice =
    reading === "unsure" ? ` The interval holds no difference, too: use more ${items}.` : "";
  if (metric === "win_rate" || !difference)
    return `${value} on ${n} ${items}; 50% is a tie.${advice}`;
  const interval = differenceInterval(metric, difference);
  const change = `${differenceText(metric, difference.value)}${interval ? ` (${interval})` : ""}`;
  return `${value}: ${change} compared with the baseline, on ${n} ${items}.${advice}`;
}

const changeOf = ({ difference, model }: Score) => difference?.value ?? model?.value ?? 0;

/** Categories in which the model is better or worse, more than chance; the worst first. */
export function movements(evaluation: Pick<Evaluation, "scores">, reading: "better" | "worse") {
  const scores = byCategory(evaluation.scores);
  const main = headlineOf({ scores: evaluation.scores, preference: null })?.metric;
  return scores
    .filter((score) => score.metric === main && headlineReading(score) === reading)
    .sort((a, b) => directionOf(main) * (changeOf(a) - changeOf(b)));
}
