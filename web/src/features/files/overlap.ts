/** What files share, in words, and which files can be compared. */
import type { Overlaps } from "@/features/files/overlap-api";
import type { Schema } from "@/lib/api";
import { number, percent } from "@/lib/format";

type FileObject = Schema<"FileObject">;
type OfKind = Pick<Schema<"OverlapOfKind">, "rows" | "share">;

export const KINDS = ["same", "near"] as const;
export const KIND_NAMES = { same: "The same prompt", near: "Nearly the same prompt" };

/** As many files as the API compares in one request. */
export const MOST_FILES = 20;
/** As many lines of a kind as the API names. */
const NAMED_LINES = 10_000;

/**
 * The files that a file can be compared with. One that failed may hold prompts alone, such as a
 * benchmark's, as long as its rows could be read.
 */
export const comparable = (files: readonly FileObject[], fileId: string) =>
  files.filter(
    ({ id, status, rows }) =>
      id !== fileId && (status === "processed" || (status === "error" && (rows ?? 0) > 0)),
  );

/** The files whose name contains a text, and those that are chosen, whatever their name. */
export function listed(
  files: readonly FileObject[],
  text: string,
  chosen: ReadonlySet<string>,
): FileObject[] {
  const sought = text.trim().toLowerCase();
  return files.filter(
    ({ id, filename }) => chosen.has(id) || filename.toLowerCase().includes(sought),
  );
}

/** `207 pairs`, or `541 rows without a pair` of a file of prompts alone. */
export function holdsInWords({ accepted, rows }: Pick<FileObject, "accepted" | "rows">): string {
  if (accepted) return accepted === 1 ? "1 pair" : `${number(accepted)} pairs`;
  return rows === 1 ? "1 row without a pair" : `${number(rows)} rows without a pair`;
}

/** `3 (1.4%)` */
export const countInWords = ({ rows, share }: OfKind) => `${number(rows)} (${percent(share, 1)})`;

/** How many rows overlap with one of the files. */
export function sentenceOf({ rows, same, near }: Pick<Overlaps, "rows" | "same" | "near">): string {
  const of = rows === 1 ? "Of 1 row" : `Of ${number(rows)} rows`;
  if (same.rows + near.rows === 0)
    return rows === 1
      ? "Its one row overlaps with none of these files."
      : `None of its ${number(rows)} rows overlaps with these files.`;
  return (
    `${of}, ${countInWords(same)} ${same.rows === 1 ? "has" : "have"} the same prompt as a row of ` +
    `these files, and ${countInWords(near)} nearly the same one.`
  );
}

/** The lines of all rows that overlap, ascending, as far as the API names them. */
export const linesOf = ({ same, near }: Pick<Overlaps, "same" | "near">): number[] =>
  [...new Set([...same.lines, ...near.lines])].sort((one, other) => one - other);

/** Whether more rows overlap than lines are named. */
export const hasMoreLines = (found: Pick<Overlaps, "same" | "near">) =>
  KINDS.some((kind) => found[kind].lines.length >= NAMED_LINES && found[kind].rows > NAMED_LINES);

const MARK = /\[(email|phone_number|card_number|iban|api_key|private_key)\]/;

/** Whether a prompt that is shown may be masked. The API says only that it masks all of them. */
export const hasMarks = ({ against }: Pick<Overlaps, "against">) =>
  against.some((file) =>
    KINDS.some((kind) =>
      file[kind].pairs.some(
        ({ prompt, against_prompt }) => MARK.test(prompt) || MARK.test(against_prompt),
      ),
    ),
  );
