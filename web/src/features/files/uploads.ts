/**
 * The uploads of this tab. They are kept outside the pages, so that leaving a page does not end
 * them.
 */
import { sendFile } from "@/features/files/api";
import { ABOVE_BYTES, canGoOn, discard, PAUSE, sendInParts } from "@/features/files/parts";
import { recall, renew } from "@/features/files/upload-memory";
import { advance, refusal, type Upload, type UploadStep } from "@/features/files/upload-state";

type Columns = Record<string, string> | null;

/** What is sent, and what is done once it is stored. */
interface Order {
  file: File;
  columns: Columns;
  onStored: () => Promise<unknown>;
}

const RENEW_MS = 5_000;

let uploads: readonly Upload[] = [];
let lastId = 0;
let queue: Promise<void> = Promise.resolve();
const listeners = new Set<() => void>();
const orders = new Map<number, Order>();
const aborts = new Map<number, AbortController>();

function put(next: readonly Upload[]) {
  uploads = next;
  for (const tell of listeners) tell();
}

function step(id: number, taken: UploadStep) {
  put(uploads.map((upload) => (upload.id === id ? advance(upload, taken) : upload)));
}

function remove(id: number) {
  aborts.delete(id);
  orders.delete(id);
  put(uploads.filter((upload) => upload.id !== id));
}

async function run(id: number, { signal }: AbortController) {
  const order = orders.get(id);
  if (!order || signal.aborted) return;
  step(id, { type: "start" });
  const onSent = (share: number) => step(id, { type: "sent", share, at: performance.now() });
  const inParts = order.file.size > ABOVE_BYTES;
  try {
    const { file, columns } = order;
    if (inParts) await sendInParts(file, columns, signal, onSent, () => step(id, { type: "lost" }));
    else await sendFile(file, columns, signal, onSent);
    await order.onStored();
    remove(id);
  } catch (error) {
    const { message } = error as Error;
    if (inParts && canGoOn(error, signal))
      step(id, { type: "pause", message: signal.aborted ? null : message });
    else step(id, { type: "fail", message });
  }
}

function enqueue(id: number) {
  const abort = new AbortController();
  aborts.set(id, abort);
  queue = queue.then(() => run(id, abort));
}

/**
 * Send files one after another; `onStored` is awaited before a file leaves the list. `columns` says
 * which columns of their rows have other names.
 */
export function addUploads(
  files: Iterable<File>,
  onStored: () => Promise<unknown>,
  columns: Columns = null,
) {
  for (const file of files) {
    lastId += 1;
    const id = lastId;
    const { name, size } = file;
    const error = refusal(file);
    const phase = error ? "failed" : "waiting";
    const inParts = size > ABOVE_BYTES;
    put([
      ...uploads,
      { id, name, size, phase, share: 0, error, inParts, isLost: false, samples: [] },
    ]);
    if (error) continue;
    orders.set(id, { file, columns, onStored });
    enqueue(id);
  }
}

/** Stop an upload for now; what has arrived stays on the server until the upload expires. */
export function pauseUpload(id: number) {
  aborts.get(id)?.abort(PAUSE);
  step(id, { type: "pause", message: null });
}

/** Go on with a paused upload. */
export function resumeUpload(id: number) {
  if (uploads.find((upload) => upload.id === id)?.phase !== "paused") return;
  step(id, { type: "wait" });
  enqueue(id);
}

/** Stop an upload for good, or take a failed one off the list. */
export function endUpload(id: number) {
  const order = orders.get(id);
  const isPaused = uploads.find((upload) => upload.id === id)?.phase === "paused";
  const entry = order && isPaused ? recall(order.file, order.columns) : null;
  if (entry) void discard(entry.uploadId);
  aborts.get(id)?.abort();
  remove(id);
}

/** Keep the entries of this tab's uploads, and go on once a lost connection is back. */
function watch() {
  window.addEventListener("pagehide", () => renew(0));
  window.addEventListener("online", () => {
    for (const { id, error } of uploads) if (error !== null) resumeUpload(id);
  });
  setInterval(() => {
    if (uploads.some(({ inParts }) => inParts)) renew();
  }, RENEW_MS);
}

watch();

export const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
};

export const currentUploads = () => uploads;
