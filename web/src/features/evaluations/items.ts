/** The items of an evaluation in words: what was asked, how they moved, and what was checked. */
import type { Filter } from "@/features/evaluations/api";
import type { Answer, Evaluation, Item, Judgment } from "@/features/evaluations/objects";
import { AGREEMENT, DIVERSITY, HELD_OUT, sideName } from "@/features/evaluations/words";
import { number, signed } from "@/lib/format";
import { messageText } from "@/lib/message-text";

export type Movement = "worse" | "better" | "tied" | "unknown";

export function movementOf({ change }: Pick<Item, "change">): Movement {
  if (change === null) return "unknown";
  if (change === 0) return "tied";
  return change < 0 ? "worse" : "better";
}

type Mark = { mark: string; word: string; className: string };

const MOVEMENTS: Record<Movement, Mark> = {
  worse: { mark: "▼", word: "got worse", className: "text-rejected" },
  better: { mark: "▲", word: "got better", className: "text-chosen" },
  tied: { mark: "=", word: "tied", className: "text-muted" },
  unknown: { mark: "–", word: "not compared", className: "text-muted" },
};

const OF_DIVERSITY: Record<Movement, Mark> = {
  ...MOVEMENTS,
  worse: { ...MOVEMENTS.worse, word: "less diverse" },
  better: { ...MOVEMENTS.better, word: "more diverse" },
};

/** How the two answers of an item are called, and their movement. */
export type Naming = {
  ours: string;
  theirs: string;
  /** Whether ours stands first; else it stands after what it is compared with. */
  isOursFirst: boolean;
  movements: Record<Movement, Mark>;
  filters: Partial<Record<Filter, string>>;
};

export function namingOf({ suite, model, baseline }: Evaluation): Naming {
  if (suite.name === AGREEMENT) return LABELLED;
  const isDiversity = suite.name === DIVERSITY;
  const filters: Naming["filters"] = {
    regressed: isDiversity ? "Less diverse" : "Got worse",
    improved: isDiversity ? "More diverse" : "Got better",
    tied: "Tied",
    cut_off: "Cut off",
  };
  if (suite.name === HELD_OUT) delete filters.cut_off;
  return {
    ours: sideName(model),
    theirs: baseline ? sideName(baseline) : "The answer in the file",
    isOursFirst: false,
    movements: isDiversity ? OF_DIVERSITY : MOVEMENTS,
    filters,
  };
}

const LABELLED: Naming = {
  ours: "First answer",
  theirs: "Second answer",
  isOursFirst: true,
  movements: {
    ...MOVEMENTS,
    worse: { mark: "✗", word: "the judge and people differ", className: "text-rejected" },
    tied: { mark: "✓", word: "the judge and people agree", className: "text-chosen" },
    unknown: { mark: "–", word: "no verdict", className: "text-muted" },
  },
  filters: { regressed: "They differ", tied: "They agree" },
};

/** Which answer people prefer, in words; null where no label says so. */
export function labelText({ reference }: Pick<Item, "reference">): string | null {
  const { label } = reference;
  if (typeof label !== "number") return null;
  if (label === 0.5) return "People find both answers equal.";
  return `People prefer the ${label > 0.5 ? "first" : "second"} answer.`;
}

// IFEval's prompts whose letter the official checker draws: scored apart, but no items' category.
const APART = "random officially";

/** The categories of an evaluation's items: those of its first score. */
export function categoriesOf({ scores }: Pick<Evaluation, "scores">): string[] {
  const main = scores.find(({ category }) => category == null)?.metric;
  const names = scores.flatMap(({ metric, category }) =>
    metric === main && category != null && category !== APART ? category : [],
  );
  return [...new Set(names)];
}

export const changeText = (change: number | null) =>
  change === null || change === 0 ? "" : signed(change);

/** The question in one line: the last message of the last turn. */
export function questionOf({ turns, line }: Pick<Item, "turns" | "line">): string {
  const last = turns.at(-1)?.at(-1);
  return (last && messageText(last)) || `Line ${line}`;
}

export const isCutOff = (answer: Answer | null | undefined) => answer?.finish_reason === "length";

/** `cut off after 512 tokens`, `128 tokens`. */
export function lengthText({ completion_tokens: tokens, finish_reason }: Answer): string {
  const count = tokens === null ? "" : `${number(tokens)} ${tokens === 1 ? "token" : "tokens"}`;
  if (finish_reason === "length") return count ? `cut off after ${count}` : "cut off";
  return count;
}

/** Longer questions don't fit into every browser's and proxy's addresses. */
const LONGEST_ASKED = 2_000;

/**
 * The search of a playground that asks both models an item's question again, where a vote can be
 * given; null unless both are models of ours and the item is one question.
 */
export function askAgain(
  { model, baseline }: Pick<Evaluation, "model" | "baseline">,
  { turns }: Pick<Item, "turns">,
): { a: string; b: string; ask: string } | null {
  const [[question, ...others] = [], ...later] = turns;
  if (!question || others.length > 0 || later.length > 0 || question.role !== "user") return null;
  const isOurs = model.kind === "model" && baseline?.kind === "model";
  const ask = question.content ?? "";
  if (!isOurs || ask === "" || ask.length > LONGEST_ASKED) return null;
  return { a: baseline.model, b: model.model, ask };
}

export type Numbers = Record<string, number>;
export type HeldOutPair = {
  chosen: string;
  rejected: string;
  /** By metric; null where the pair could not be measured. */
  model: Numbers | null;
  baseline: Numbers | null;
};

/** A pair of the file with the numbers of both sides; null where models were asked a prompt. */
export function pairOf({ reference, result }: Pick<Item, "reference" | "result">) {
  const { chosen, rejected } = reference;
  if (!Array.isArray(chosen) || !Array.isArray(rejected)) return null;
  const pair: HeldOutPair = {
    chosen: chosen.map(messageText).join("\n\n"),
    rejected: rejected.map(messageText).join("\n\n"),
    model: numbersOf(result),
    baseline: numbersOf(result?.baseline),
  };
  return pair;
}

function numbersOf(found: unknown): Numbers | null {
  if (typeof found !== "object" || found === null) return null;
  const numbers = Object.entries(found).filter(([, value]) => typeof value === "number");
  return Object.fromEntries(numbers);
}

/** The places of a turn's answers among all answers of an item: one for each of its samples. */
export function placesOf(
  { turns, answers, baseline_answers }: Pick<Item, "turns" | "answers" | "baseline_answers">,
  turn: number,
): number[] {
  const count = Math.max(answers.length, baseline_answers.length, turns.length);
  const samples = Math.ceil(count / Math.max(1, turns.length));
  return Array.from({ length: samples }, (_, sample) => sample * turns.length + turn);
}

export type Similarity = { name: string; model: number | null; baseline: number | null };

/** How alike the samples of an item are; empty for other suites. */
export function similaritiesOf({ result }: Pick<Item, "result">): Similarity[] {
  const of = (found: unknown, name: string) => {
    const value = (found as Record<string, unknown> | null | undefined)?.[name];
    return typeof value === "number" ? value : null;
  };
  const named: [string, string][] = [
    ["per_input", "Of the samples"],
    ["to_others", "Of the first sample to those of other prompts"],
  ];
  return named.flatMap(([key, name]) => {
    const [model, baseline] = [of(result, key), of(result?.baseline, key)];
    return model === null && baseline === null ? [] : [{ name, model, baseline }];
  });
}

export type Check = {
  /** Such as `length_constraints:number_words`. */
  kind: string;
  /** Its arguments in words. */
  given: string;
  model: Outcome;
  baseline: Outcome;
};
/** Whether an answer follows an instruction; null where it was not checked. */
export type Outcome = { strict: boolean; loose: boolean } | null;

/** What IFEval checked of an item: each instruction of the prompt, and who follows it. */
export function checksOf({ reference, result }: Pick<Item, "reference" | "result">): Check[] {
  const kinds = listOf(reference.instruction_id_list);
  const given = listOf(reference.kwargs);
  const model = followed(result?.model ?? result);
  const baseline = followed(result?.baseline);
  return kinds.map((kind, place) => ({
    kind: String(kind),
    given: givenText(given[place]),
    model: model(place),
    baseline: baseline(place),
  }));
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

function followed(found: unknown): (place: number) => Outcome {
  const { strict, loose } = (found ?? {}) as { strict?: unknown; loose?: unknown };
  return (place) => {
    const isStrict = listOf(strict)[place];
    if (typeof isStrict !== "boolean") return null;
    return { strict: isStrict, loose: isStrict || listOf(loose)[place] === true };
  };
}

function givenText(given: unknown): string {
  if (typeof given !== "object" || given === null) return "";
  return Object.entries(given)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name.replaceAll("_", " ")}: ${textOf(value)}`)
    .join(", ");
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** What a reply of the judge says, in words. */
export function judgmentText(
  { value, order, side }: Pick<Judgment, "value" | "order" | "side">,
  { ours, theirs }: Pick<Naming, "ours" | "theirs">,
): string {
  if (value === null) return "no verdict";
  if (order === null) return `gives ${side === "baseline" ? theirs : ours} ${number(value, 3)}`;
  if (value === 0.5) return "calls it a draw";
  const isOurs = value > 0.5 === (order === "model_first");
  const sure = value === 0 || value === 1 ? "" : ` (${number(Math.max(value, 1 - value))})`;
  return `prefers ${isOurs ? ours : theirs}${sure}`;
}
