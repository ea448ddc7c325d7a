/** The items of an evaluation in words: what was asked, how they moved, and what was checked. */
import type { Answer, Evaluation, Item, Judgment } from "@/features/evaluations/objects";
import { number, signed } from "@/lib/format";
import { messageText } from "@/lib/message-text";

export type Movement = "worse" | "better" | "tied" | "unknown";

export function movementOf({ change }: Pick<Item, "change">): Movement {
  if (change === null) return "unknown";
  if (change === 0) return "tied";
  return change < 0 ? "worse" : "better";
}

export const MOVEMENTS: Record<Movement, { mark: string; word: string; className: string }> = {
  worse: { mark: "▼", word: "got worse", className: "text-rejected" },
  better: { mark: "▲", word: "got better", className: "text-chosen" },
  tied: { mark: "=", word: "tied", className: "text-muted" },
  unknown: { mark: "–", word: "not compared", className: "text-muted" },
};

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
  { model, baseline }: Pick<Evaluation, "model" | "baseline">,
): string {
  if (value === null) return "no verdict";
  const of = { model: model.model, baseline: baseline?.model ?? "the baseline" };
  if (order === null) return `gives ${of[side ?? "model"]} ${number(value, 3)}`;
  if (value === 0.5) return "calls it a draw";
  const isModel = value > 0.5 === (order === "model_first");
  const sure = value === 0 || value === 1 ? "" : ` (${number(Math.max(value, 1 - value))})`;
  return `prefers ${isModel ? of.model : of.baseline}${sure}`;
}
