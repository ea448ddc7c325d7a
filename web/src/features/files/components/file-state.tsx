import { State } from "@/components/ui/state";
import type { Schema } from "@/lib/api";

const WORDS = { uploaded: "being checked", processed: "ready", error: "error" };

export function FileState({ status }: Pick<Schema<"FileObject">, "status">) {
  return <State value={WORDS[status]} />;
}
