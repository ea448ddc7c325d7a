/** Steps of recipes in words, and those that the page can add. */
import type { RecipeStep } from "@/features/files/recipe-draft";
import { findingInWords } from "@/features/files/words";

export interface Addable {
  label: string;
  /** The label of the step's one value, if it has one. */
  value: string | null;
  /** The step for what was typed, or null if it is no such value. */
  step: (text: string) => RecipeStep | null;
}

const whole = (text: string) => (/^[1-9]\d{0,9}$/.test(text.trim()) ? Number(text) : null);

const share = (text: string) => {
  const percent = Number(text.trim().replace(/%$/, ""));
  return text.trim() !== "" && percent > 0 && percent < 100 ? percent / 100 : null;
};

const lines = (text: string) => {
  const parts = text.split(/[\s,]+/).filter(Boolean);
  const numbers = parts.map(whole).filter((line) => line !== null);
  return parts.length > 0 && numbers.length === parts.length ? numbers : null;
};

const SEED = 0;
// Of a shorter text, the language is not certain.
const MIN_LETTERS = 40;

export const ADDABLE: [Addable, ...Addable[]] = [
  {
    label: "Keep one of each near duplicate",
    value: null,
    step: () => ({ step: "deduplicate", by: "near" }),
  },
  {
    label: "Keep one row of each prompt",
    value: null,
    step: () => ({ step: "deduplicate", by: "prompt" }),
  },
  {
    label: "Draw rows at random",
    value: "Rows",
    step: (text) => {
      const n = whole(text);
      return n === null ? null : { step: "sample", n, seed: SEED };
    },
  },
  {
    label: "Drop rows that contain a text",
    value: "Text",
    step: (text) =>
      text === ""
        ? null
        : { step: "filter", field: "any", action: "drop", contains: text, ignore_case: true },
  },
  {
    label: "Keep answers in these languages",
    value: "Codes, such as en, de",
    step: (text) => {
      const languages = text.split(/[\s,]+/).filter(Boolean);
      return languages.length > 0 && languages.every((code) => /^[a-z]{2,3}$/.test(code))
        ? {
            step: "language",
            field: "chosen",
            action: "keep",
            languages,
            unknown: "keep",
            min_letters: MIN_LETTERS,
          }
        : null;
    },
  },
  {
    label: "Mask personal data and secrets",
    value: null,
    step: () => ({ step: "map", action: "mask" }),
  },
  {
    label: "Set the system prompt (empty: remove it)",
    value: "Text",
    step: (text) => ({ step: "map", action: "system", ...(text && { text }) }),
  },
  {
    label: "Remove white space at the ends",
    value: null,
    step: () => ({ step: "map", action: "strip" }),
  },
  {
    label: "Remove the thoughts of the answers",
    value: null,
    step: () => ({ step: "map", action: "thoughts" }),
  },
  {
    label: "Repair control tokens",
    value: null,
    step: () => ({ step: "repair", finding: "control_token" }),
  },
  {
    label: "Drop lines",
    value: "Lines",
    step: (text) => {
      const found = lines(text);
      return found && { step: "drop_rows", lines: found };
    },
  },
  {
    label: "Swap chosen and rejected",
    value: "Lines",
    step: (text) => {
      const found = lines(text);
      return found && { step: "swap", lines: found };
    },
  },
  {
    label: "Hold out prompts (last step)",
    value: "Percent",
    step: (text) => {
      const held_out = share(text);
      return held_out === null ? null : { step: "split", held_out, seed: SEED };
    },
  },
];

/** A step in a few words. */
export function stepInWords(step: RecipeStep): string {
  switch (step.step) {
    case "drop":
      return `drop rows of: ${findingInWords(step.finding)}`;
    case "deduplicate":
      return step.finding
        ? `keep one of each: ${findingInWords(step.finding)}`
        : `keep one of each ${step.by === "near" ? "near duplicate" : (step.by ?? "pair")}`;
    case "sample":
      return step.n ? `draw ${step.n} rows` : `draw ${percent(step.fraction ?? 0)} of the rows`;
    case "split":
      return `${step.part === "held_out" ? "keep only" : "hold out"} ${percent(step.held_out)} of the prompts`;
    case "filter":
      return `${step.action ?? "keep"} rows by their ${step.field === "any" ? "text" : step.field}${
        step.contains ? `: "${step.contains}"` : ""
      }`;
    case "language":
      return `${step.action ?? "keep"} rows whose ${step.field ?? "chosen"} is in: ${step.languages.join(", ")}`;
    case "map":
      return mapInWords(step);
    case "repair":
      return `repair the texts of: ${findingInWords(step.finding)}`;
    case "drop_rows":
      return `drop ${linesInWords(step.lines)}`;
    case "swap":
      return step.finding
        ? `swap the answers of: ${findingInWords(step.finding)}`
        : `swap the answers of ${linesInWords(step.lines ?? [])}`;
    case "edit":
      return `edit line ${step.line}`;
    case "balance":
      return "balance the lengths";
    case "mix":
      return "mix with other files";
  }
}

function mapInWords(step: Extract<RecipeStep, { step: "map" }>): string {
  switch (step.action) {
    case "system":
      return step.text ? `set the system prompt: "${step.text}"` : "remove the system prompt";
    case "strip":
      return "remove white space at the ends";
    case "replace":
      return `replace ${step.pattern} by "${step.replacement}"`;
    case "thoughts":
      return "remove the thoughts of the answers";
    case "mask":
      return "mask personal data and secrets";
  }
}

const MOST_LINES = 8;

/** `lines 3, 8`, or the first ones of many. */
function linesInWords(lines: readonly number[]): string {
  if (lines.length === 1) return `line ${lines[0]}`;
  if (lines.length <= MOST_LINES) return `lines ${lines.join(", ")}`;
  return `${lines.length} lines: ${lines.slice(0, MOST_LINES).join(", ")} …`;
}

const percent = (part: number) => `${Math.round(part * 1000) / 10} %`;
