/**
 * The filter of the runs: words and comparisons, such as `accuracy>=0.7 tag:abl`. Archived runs are
 * left out unless the filter has a word on them: `archived:yes`, `archived:no` or `archived:all`.
 */
import type { Job } from "@/features/jobs/api";
import { advance, methodOf } from "@/features/jobs/job";
import { accuracyOf, marginOf, READINGS_IN_ORDER, verdictWord } from "@/features/jobs/outcome";
import { nameOf } from "@/lib/run-name";

const TERM = /^([a-z_]+)(>=|<=|!=|>|<|=|:)(.*)$/i;

const COMPARE: Record<string, (a: number, b: number) => boolean> = {
  ">=": (a, b) => a >= b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  "<": (a, b) => a < b,
  "=": (a, b) => a === b,
  ":": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};

const wordsOf = (filter: string) => filter.toLowerCase().split(/\s+/).filter(Boolean);

/** Every word must match: as `name:value` if the run has that name, otherwise as text anywhere. */
export function matches(job: Job, filter: string, fileName = ""): boolean {
  const words = wordsOf(filter);
  if (job.archived && !words.some((word) => word.startsWith("archived"))) return false;
  const facts = factsOf(job, fileName);
  const text = textOf(facts, job);
  return words.every((word) => fits(word, facts) ?? text.includes(word));
}

/** The text in which a word without a known name is looked for. */
function textOf(facts: Record<string, unknown>, job: Job): string {
  const named = ["name", "id", "model", "status", "method", "file"].map((name) => facts[name]);
  const labels = [...job.tags, job.notes, ...Object.values(job.metadata)];
  return [...named, ...labels].join(" ").toLowerCase();
}

/** What a filter can compare, by its name in lower case. */
function factsOf(job: Job, fileName = ""): Record<string, unknown> {
  return {
    ...job.hyperparameters,
    ...Object.fromEntries(
      Object.entries(job.metadata).map(([name, value]) => [name.toLowerCase(), value]),
    ),
    status: job.status,
    model: job.model,
    method: methodOf(job),
    name: nameOf(job),
    id: job.id,
    file: `${fileName} ${job.training_file}`,
    tag: [...job.tags, job.metadata.tag ?? ""].join(" "),
    notes: job.notes,
    archived: `${job.archived ? "yes true" : "no false"} all`,
    accuracy: accuracyOf(job),
    log_odds_ratio: job.outcome?.after.log_odds_ratio ?? null,
    reward_margin: job.outcome?.after.reward_margin ?? null,
    verdict: verdictWord(job),
  };
}

/**
 * What is wrong with a filter, a sentence for each word: a name that no run has, a number that is
 * none, a comparison of text by size, a state that does not exist. A word such as `ft:base:7` is
 * text if it stands in some run.
 */
export function faultsOf(
  filter: string,
  jobs: readonly Job[],
  fileNames: ReadonlyMap<string, string> = new Map(),
): string[] {
  const words = wordsOf(filter).filter((word) => TERM.test(word));
  if (words.length === 0) return [];
  const known = new Map<string, Set<string>>();
  let text = "";
  for (const job of jobs) {
    const facts = factsOf(job, fileNames.get(job.training_file));
    text += ` ${textOf(facts, job)}`;
    for (const [name, value] of Object.entries(facts)) {
      const types = known.get(name) ?? new Set();
      known.set(name, value === null || value === undefined ? types : types.add(typeof value));
    }
  }
  return words.flatMap((word) => faultOf(word, known, text) ?? []);
}

function faultOf(
  word: string,
  known: ReadonlyMap<string, Set<string>>,
  text: string,
): string | null {
  const [, name, sign = "", wanted = ""] = TERM.exec(word) ?? [];
  if (name === undefined) return null;
  const types = known.get(name);
  if (!types && text.includes(word)) return null;
  if (!types) {
    const near = nearestOf(name, [...known.keys()]);
    return `No run has a setting or tag “${name}”${near ? `; “${near}” exists` : ""}.`;
  }
  if (wanted === "")
    return `“${word}” needs a value, such as “${name}${sign}${EXAMPLES[name] ?? 1}”.`;
  if (types.has("number") && types.size === 1 && !Number.isFinite(Number(wanted)))
    return `“${name}” is a number, and “${wanted}” is none.`;
  if (types.size > 0 && !types.has("number") && /[<>]/.test(sign))
    return `“${name}” is text: compare it with “:”, not with “${sign}”.`;
  if (name === "status" && !STATES.some((state) => state.includes(wanted)))
    return `No run can have the status “${wanted}”: there are ${STATES.join(", ")}.`;
  if (name === "archived" && !["yes", "no", "all", "true", "false"].includes(wanted))
    return `“archived” is yes, no or all, not “${wanted}”.`;
  if (name === "verdict" && !READINGS_IN_ORDER.some((reading) => reading.includes(wanted)))
    return `No run can have the verdict “${wanted}”: there are ${READINGS_IN_ORDER.join(", ")}.`;
  return null;
}

const EXAMPLES: Record<string, string> = {
  status: "running",
  model: "smol",
  tuning: "lora",
  tag: "abl",
  archived: "yes",
  verdict: "helped",
};
const STATES: string[] = [
  "validating_files",
  "queued",
  "running",
  "paused",
  "succeeded",
  "failed",
  "cancelled",
];

/** The name that differs by the fewest letters; null if all differ by more than two. */
function nearestOf(name: string, names: readonly string[]): string | null {
  const [best] = names
    .map((each) => ({ each, by: distance(name, each) }))
    .filter(({ by }) => by <= 2)
    .sort((a, b) => a.by - b.by);
  return best?.each ?? null;
}

/** Levenshtein's distance: letters to add, remove or replace. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(
        (row[j] ?? 0) + 1,
        (next[j - 1] ?? 0) + 1,
        (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
    row = next;
  }
  return row[b.length] ?? 0;
}

function fits(word: string, facts: Record<string, unknown>): boolean | null {
  const [, name = "", sign = "", wanted = ""] = TERM.exec(word) ?? [];
  if (!(name in facts)) return null;
  if (wanted === "") return false;
  const value = facts[name];
  if (typeof value === "number") return COMPARE[sign]?.(value, Number(wanted)) ?? null;
  const has = String(value ?? "")
    .toLowerCase()
    .includes(wanted);
  return sign === "!=" ? !has : has;
}

export type Sort = { by: keyof typeof ORDERS; descending: boolean };

/** What a column sorts by; runs without a value stand last in both directions. */
const ORDERS = {
  name: (job: Job) => nameOf(job).toLowerCase(),
  status: (job: Job) => job.status,
  progress: (job: Job) => advance(job)?.share ?? null,
  accuracy: accuracyOf,
  margin: marginOf,
  verdict: (job: Job) => {
    const word = verdictWord(job);
    return word && READINGS_IN_ORDER.indexOf(word);
  },
  model: (job: Job) => job.model.toLowerCase(),
  created: (job: Job) => job.created_at,
};

/** Columns whose greatest values are looked for first. */
export const startsDescending = (by: Sort["by"]) =>
  ["created", "accuracy", "margin", "verdict"].includes(by);

/** `created` ascending, `-created` descending; anything else is the newest first. */
export function sortOf(text: string | undefined): Sort {
  const by = text?.replace(/^-/, "") ?? "";
  if (!(by in ORDERS)) return { by: "created", descending: true };
  return { by: by as Sort["by"], descending: text?.startsWith("-") ?? false };
}

export const sortText = ({ by, descending }: Sort) => `${descending ? "-" : ""}${by}`;

export function inOrder(jobs: readonly Job[], { by, descending }: Sort): Job[] {
  const value = ORDERS[by];
  const sign = descending ? -1 : 1;
  return [...jobs].sort((a, b) => {
    const [first, second] = [value(a), value(b)];
    if (first === null || second === null) {
      if (first !== second) return first === null ? 1 : -1;
      return b.created_at - a.created_at;
    }
    return first === second ? b.created_at - a.created_at : first < second ? -sign : sign;
  });
}
