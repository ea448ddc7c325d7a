/** How far a file is that is being made or checked, in words. */
import type { Schema } from "@/lib/api";
import { bytes, number } from "@/lib/format";

/** What the API says of a file in the making, if that takes seconds. */
export interface Progress {
  stage: "make" | "validate" | "audit" | "compare";
  done: number;
  /** Null where it is not known: of a compressed file. */
  total: number | null;
  unit: "rows" | "bytes";
  /** Of a version: which step of its recipe is applied, from 1, and how many there are. */
  step?: number | null;
  steps?: number | null;
  /** What that step is called. */
  name?: string | null;
}

export type FileInMaking = Pick<Schema<"FileObject">, "status" | "sha256"> & {
  progress?: Progress | null;
};

const STAGES = {
  make: { state: "being made", does: "Making the rows" },
  validate: { state: "being checked", does: "Checking the rows" },
  audit: { state: "being audited", does: "Auditing the rows" },
  compare: { state: "being compared", does: "Comparing the rows with each other" },
};

/** From 0 to 1; null where it is not known. */
export function shareOf({ progress }: FileInMaking): number | null {
  if (!progress?.total) return null;
  return Math.min(1, progress.done / progress.total);
}

/** A version has no bytes, and so no sha256, until it is made. */
const stageOf = ({ sha256, progress }: FileInMaking) =>
  STAGES[progress?.stage ?? (sha256 === "" ? "make" : "validate")];

/** The state of a file in a few words: `ready`, `being checked, 43%`. */
export function stateInWords(file: FileInMaking): string {
  if (file.status === "processed") return "ready";
  if (file.status === "error") return "error";
  const share = shareOf(file);
  const { state } = stageOf(file);
  return share === null ? state : `${state}, ${Math.floor(100 * share)}%`;
}

/** What is done to a file, and how far it is: `Checking the rows: 430 of 1,000 rows`. */
export function progressInWords(file: FileInMaking): string {
  const { does } = stageOf(file);
  const { progress } = file;
  if (!progress) return does;
  const { done, total, unit, step, steps, name } = progress;
  const count = (value: number) => (unit === "bytes" ? bytes(value) : number(value));
  const called = name ? ` (${name.replaceAll("_", " ")})` : "";
  const part = step && steps ? `, step ${number(step)} of ${number(steps)}${called}` : "";
  const of = total === null ? "" : ` of ${count(total)}`;
  return `${does}${part}: ${count(done)}${of}${unit === "rows" ? " rows" : ""}`;
}
