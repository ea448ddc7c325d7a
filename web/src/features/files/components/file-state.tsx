import { State } from "@/components/ui/state";
import type { Schema } from "@/lib/api";

/** The state of a file in a word; of a version, whether its rows are still being made. */
export function FileState({ file }: { file: Schema<"FileObject"> }) {
  return <State value={inWords(file)} />;
}

export function inWords({ status, sha256 }: Pick<Schema<"FileObject">, "status" | "sha256">) {
  if (status === "processed") return "ready";
  if (status === "error") return "error";
  return sha256 === "" ? "being made" : "being checked";
}
