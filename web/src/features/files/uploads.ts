/**
 * The uploads of this tab. They are kept outside the pages, so that leaving a page does not end
 * them.
 */
import { sendFile } from "@/features/files/api";
import { ABOVE_BYTES, sendInParts } from "@/features/files/parts";
import { advance, refusal, type Upload, type UploadStep } from "@/features/files/upload-state";

let uploads: readonly Upload[] = [];
let lastId = 0;
let queue: Promise<void> = Promise.resolve();
const listeners = new Set<() => void>();
const aborts = new Map<number, AbortController>();

function put(next: readonly Upload[]) {
  uploads = next;
  for (const tell of listeners) tell();
}

function step(id: number, taken: UploadStep) {
  put(uploads.map((upload) => (upload.id === id ? advance(upload, taken) : upload)));
}

function forget(id: number) {
  aborts.delete(id);
  put(uploads.filter((upload) => upload.id !== id));
}

async function run(id: number, file: File, onStored: () => Promise<unknown>) {
  const { signal } = aborts.get(id) ?? {};
  if (!signal || signal.aborted) return;
  step(id, { type: "start" });
  try {
    const send = file.size > ABOVE_BYTES ? sendInParts : sendFile;
    await send(file, signal, (share) => step(id, { type: "sent", share }));
    await onStored();
    forget(id);
  } catch (error) {
    step(id, { type: "fail", message: (error as Error).message });
  }
}

/** Send files one after another; `onStored` is awaited before a file leaves the list. */
export function addUploads(files: Iterable<File>, onStored: () => Promise<unknown>) {
  for (const file of files) {
    lastId += 1;
    const id = lastId;
    const { name, size } = file;
    const error = refusal(file);
    const phase = error ? "failed" : "waiting";
    put([...uploads, { id, name, size, phase, share: 0, error }]);
    if (error) continue;
    aborts.set(id, new AbortController());
    queue = queue.then(() => run(id, file, onStored));
  }
}

/** Stop an upload, or take a failed one off the list. */
export function endUpload(id: number) {
  aborts.get(id)?.abort();
  forget(id);
}

export const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
};

export const currentUploads = () => uploads;
