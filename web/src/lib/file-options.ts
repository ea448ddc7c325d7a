/** Files as choices of a form: how much of each can be used, and why one can't be chosen. */
import type { Option } from "@/components/ui/fields";
import type { Schema } from "@/lib/api";
import { ago, number } from "@/lib/format";

type File = Schema<"FileObject">;

/** What a form reads of a file: pairs of answers, single answers are enough, or prompts alone. */
export type Use = "pairs" | "answers" | "prompts";

const NOUNS: Record<Use, [one: string, many: string]> = {
  pairs: ["usable pair", "usable pairs"],
  answers: ["usable row", "usable rows"],
  prompts: ["usable prompt", "usable prompts"],
};

/** Why a form can't use a file; null if it can. */
export function unusable(
  file: Pick<File, "status" | "accepted" | "shapes">,
  use: Use,
): string | null {
  if (file.status === "uploaded") return "still being checked";
  if (file.status === "error" || !file.accepted) return `no ${NOUNS[use][0]}`;
  const shapes = Object.keys(file.shapes ?? {});
  if (use === "pairs" && shapes.length === 1 && shapes[0] === "messages")
    return "conversations without a rejected answer, for the method supervised";
  return null;
}

/** `pairs.jsonl, 1,204 usable pairs, 5 min ago`; a file that can't be used is disabled. */
export function fileOption(file: File, use: Use): Option {
  const reason = unusable(file, use);
  const [one, many] = NOUNS[use];
  const holds = reason ?? `${number(file.accepted)} ${file.accepted === 1 ? one : many}`;
  return {
    value: file.id,
    label: `${file.filename}, ${holds}, ${ago(file.created_at)}`,
    isDisabled: reason !== null,
  };
}

/** The sentence under a field whose chosen file can't be used. */
export function choiceFault(file: File | undefined, use: Use): string | null {
  const reason = file && unusable(file, use);
  return reason ? `${file.filename} can't be used: ${reason}.` : null;
}
