/** The three sentences at the top of an evaluation: is it better, by how much, where is it worse. */
import type { Evaluation, Score } from "@/features/evaluations/objects";
import {
  differenceInterval,
  differenceText,
  headlineOf,
  headlineReading,
  intervalText,
  metricOf,
  type Reading,
  valueText,
} from "@/features/evaluations/words";
import { number } from "@/lib/format";

export type Verdict = { reading: Reading | null; answer: string; detail: string };

type Judged = Pick<Evaluation, "scores" | "preference" | "baseline">;

const ANSWERS: Record<Reading, string> = {
  better: "Yes, more than chance",
  worse: "No, it is worse, more than chance",
  unsure: "Can’t tell yet",
  too_few: "Can’t tell from one prompt",
};

/** What an evaluation says of its model; null without a score. */
export function verdictOf(evaluation: Judged): Verdict | null {
  const score = headlineOf(evaluation);
  if (!score?.model) return null;
  const metric = score.metric ?? "";
  const interval = intervalText(metric, score.model);
  const value = `${metricOf(metric).title} ${valueText(metric, score.model.value)}${interval ? ` (${interval})` : ""}`;
  const reading = headlineReading(score);
  if (!reading)
    return {
      reading,
      answer: value,
      detail: `On ${number(score.model.n)} prompts. Without a baseline there is nothing to be better than.`,
    };
  return { reading, answer: ANSWERS[reading], detail: detailOf(score, value, reading) };
}

function detailOf(score: Score, value: string, reading: Reading): string {
  const { metric = "", difference, model } = score;
  const n = number(difference?.n ?? model?.n);
  const advice =
    reading === "unsure" ? " The interval holds no difference, too: ask more prompts." : "";
  if (metric === "win_rate" || !difference)
    return `${value} on ${n} prompts; 50% is a tie.${advice}`;
  const interval = differenceInterval(metric, difference);
  const change = `${differenceText(metric, difference.value)}${interval ? ` (${interval})` : ""}`;
  return `${value}: ${change} compared with the baseline, on ${n} prompts.${advice}`;
}

export type Movement = { name: string; score: Score };

/** Categories whose difference is more than chance, the worst first. */
export function movements(evaluation: Pick<Evaluation, "scores">, reading: "better" | "worse") {
  const main = headlineOf({ scores: evaluation.scores, preference: null })?.metric;
  const isIt = ({ low, high }: { low?: number | null; high?: number | null }) =>
    reading === "worse" ? high != null && high < 0 : low != null && low > 0;
  return evaluation.scores
    .filter((score) => score.category != null && score.metric === main)
    .filter((score) => score.difference && isIt(score.difference))
    .sort((a, b) => (a.difference?.value ?? 0) - (b.difference?.value ?? 0));
}
