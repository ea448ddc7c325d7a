/** How far a file is that is being made or checked, in a few words. */
import type { Schema } from "@/lib/api";

type FileProgress = Schema<"FileProgress">;

const STAGES: Record<FileProgress["stage"], string> = {
  make: "being made",
  validate: "being checked",
  audit: "being audited",
};

export function progressInWords({ stage, done, total, step, steps, name }: FileProgress): string {
  const at = stage === "make" && step ? `: step ${step} of ${steps} (${name})` : "";
  const share = total ? `, ${Math.floor((100 * done) / total)} %` : "";
  return `${STAGES[stage]}${at}${share}`;
}
