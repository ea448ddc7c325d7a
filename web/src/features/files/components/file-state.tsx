import { State } from "@/components/ui/state";
import { progressInWords } from "@/features/files/file-progress";
import type { Schema } from "@/lib/api";

const WORDS = { uploaded: "being checked", processed: "ready", error: "error" };

type Shown = Pick<Schema<"FileObject">, "status"> & Partial<Pick<Schema<"FileObject">, "progress">>;

export function FileState({ status, progress }: Shown) {
  return <State value={progress ? progressInWords(progress) : WORDS[status]} />;
}
