/** The filter of the runs: words and comparisons, such as `lambda>=0.2 status:running`. */
import type { Job } from "@/features/jobs/api";
import { advance, methodOf, nameOf } from "@/features/jobs/job";

const TERM = /^([a-z_]+)(>=|<=|!=|>|<|=|:)(.+)$/i;

const COMPARE: Record<string, (a: number, b: number) => boolean> = {
  ">=": (a, b) => a >= b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  "<": (a, b) => a < b,
  "=": (a, b) => a === b,
  ":": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};

/** Every word must match: as `name:value` if the run has that name, otherwise as text anywhere. */
export function matches(job: Job, filter: string, fileName = ""): boolean {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const facts: Record<string, unknown> = {
    ...job.hyperparameters,
    ...job.metadata,
    status: job.status.replaceAll("_", " "),
    model: job.model,
    method: methodOf(job),
    name: nameOf(job),
    id: job.id,
    file: `${fileName} ${job.training_file}`,
  };
  const anywhere = [
    ...["name", "id", "model", "status", "method", "file"].map((name) => facts[name]),
    ...Object.values(job.metadata),
  ]
    .join(" ")
    .toLowerCase();
  return words.every((word) => fits(word, facts) ?? anywhere.includes(word));
}

function fits(word: string, facts: Record<string, unknown>): boolean | null {
  const [, name = "", sign = "", wanted = ""] = TERM.exec(word) ?? [];
  if (!(name in facts)) return null;
  const value = facts[name];
  if (typeof value === "number") return COMPARE[sign]?.(value, Number(wanted)) ?? null;
  const has = String(value ?? "")
    .toLowerCase()
    .includes(wanted);
  return sign === "!=" ? !has : has;
}

export type Sort = { by: keyof typeof ORDERS; descending: boolean };

const ORDERS = {
  name: (job: Job) => nameOf(job).toLowerCase(),
  status: (job: Job) => job.status,
  progress: (job: Job) => advance(job)?.share ?? -1,
  model: (job: Job) => job.model.toLowerCase(),
  created: (job: Job) => job.created_at,
};

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
    return first === second ? b.created_at - a.created_at : first < second ? -sign : sign;
  });
}
