/**
 * A large file, sent in parts: after a lost connection or a reload, only those that have not arrived
 * are sent.
 */
import { PURPOSE, sendForm } from "@/features/files/api";
import { forget, type Remembered, recall, remember } from "@/features/files/upload-memory";
import { ApiError, client, type Schema, take } from "@/lib/api";

/** Files above this size are sent in parts. */
export const ABOVE_BYTES = 64 * 2 ** 20;
const PART_BYTES = 16 * 2 ** 20;
/** Pauses before a request is sent again; a server that is restarted needs a few seconds. */
const PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000, 16_000];
/** The reason with which a signal stops an upload that is to go on later. */
export const PAUSE = "pause";

type OnSent = (share: number) => void;
type Columns = Remembered["columns"];
type Begun = Pick<Schema<"UploadObject">, "id" | "expires_at">;

/** The requests of an upload. */
export type Requests = {
  begin: (file: File, columns: Columns, signal: AbortSignal) => Promise<Begun>;
  /** The state of an upload, and the ids of the parts that have arrived. */
  look: (
    uploadId: string,
    signal: AbortSignal,
  ) => Promise<{ status: Schema<"UploadObject">["status"]; partIds: Set<string> }>;
  /** `offset` is where the part lies in the file; the same one twice is the same part. */
  send: (
    uploadId: string,
    part: Blob,
    offset: number,
    signal: AbortSignal,
    onSent: OnSent,
  ) => Promise<string>;
  complete: (uploadId: string, partIds: string[], signal: AbortSignal) => Promise<unknown>;
  cancel: (uploadId: string) => Promise<unknown>;
};

const params = (upload_id: string) => ({ path: { upload_id } });

export const requests: Requests = {
  begin: ({ name, size, type }, columns, signal) => {
    const body = { filename: name, purpose: PURPOSE, bytes: size, mime_type: type };
    return take(
      client.POST("/v1/uploads", { body: columns ? { ...body, columns } : body, signal }),
    );
  },
  look: async (uploadId, signal) => {
    const options = { params: params(uploadId), signal };
    const { status } = await take(client.GET("/v1/uploads/{upload_id}", options));
    const parts = await take(client.GET("/v1/uploads/{upload_id}/parts", options));
    return { status, partIds: new Set(parts.data.map(({ id }) => id)) };
  },
  send: async (uploadId, part, offset, signal, onSent) => {
    const form = new FormData();
    form.append("data", part);
    const path = `/v1/uploads/${encodeURIComponent(uploadId)}/parts`;
    const headers = { "Idempotency-Key": `${offset}` };
    const answer = await sendForm(path, form, signal, onSent, headers);
    return (JSON.parse(answer) as Schema<"UploadPartObject">).id;
  },
  complete: (uploadId, part_ids, signal) =>
    take(
      client.POST("/v1/uploads/{upload_id}/complete", {
        params: params(uploadId),
        body: { part_ids },
        signal,
      }),
    ),
  cancel: (uploadId) =>
    take(client.POST("/v1/uploads/{upload_id}/cancel", { params: params(uploadId) })),
};

/**
 * Send a file in parts, or go on with an upload of it that was stopped. If it is paused, or the
 * server can't be reached, its parts stay for another call; any other failure removes them. `onLost`
 * is called when a request failed and will be sent again.
 */
export async function sendInParts(
  file: File,
  columns: Columns,
  signal: AbortSignal,
  onSent: OnSent,
  onLost: () => void = () => {},
  calls: Requests = requests,
  { partBytes = PART_BYTES, pausesMs = PAUSES_MS } = {},
) {
  const again = <Answer>(call: () => Promise<Answer>) => patiently(call, signal, onLost, pausesMs);
  const found = await again(() => goOn(file, columns, calls, signal));
  if (found === "completed") return;
  let entry = found ?? (await again(() => begin(file, columns, partBytes, calls, signal)));
  remember(entry);
  try {
    const { uploadId, partBytes: length, partIds } = entry;
    const arrived = partIds.length * length;
    if (arrived > 0) onSent(Math.min(1, arrived / file.size));
    for (let offset = arrived; offset < file.size; offset += length) {
      const part = file.slice(offset, offset + length);
      await refuseUnreadable(part, file.name);
      const show: OnSent = (share) => onSent((offset + share * part.size) / file.size);
      const partId = await again(() => calls.send(uploadId, part, offset, signal, show));
      entry = { ...entry, partIds: [...entry.partIds, partId] };
      remember(entry);
    }
    const { partIds: all } = entry;
    await again(() => calls.complete(uploadId, all, signal));
    forget(uploadId);
  } catch (error) {
    if (!canGoOn(error, signal)) await discard(entry.uploadId, calls);
    throw error;
  }
}

/** Remove an upload's parts from the server, and what this browser remembers of it. */
export async function discard(uploadId: string, { cancel }: Requests = requests) {
  forget(uploadId);
  // It would expire anyhow.
  await cancel(uploadId).catch(() => null);
}

/** Whether another call may go on where this one failed. */
export function canGoOn(error: unknown, signal: AbortSignal): boolean {
  if (signal.aborted) return signal.reason === PAUSE;
  return error instanceof ApiError && (isPassing(error) || [401, 403].includes(error.status));
}

async function begin(
  file: File,
  columns: Columns,
  partBytes: number,
  calls: Requests,
  signal: AbortSignal,
): Promise<Remembered> {
  const { id, expires_at } = await calls.begin(file, columns, signal);
  const { name, size, lastModified } = file;
  const known = { uploadId: id, name, size, lastModified, columns, partBytes };
  return { ...known, partIds: [], expiresAt: expires_at, at: 0 };
}

/** What is left to do of a stopped upload of this file; null if there is none to go on with. */
async function goOn(
  file: File,
  columns: Columns,
  calls: Requests,
  signal: AbortSignal,
): Promise<Remembered | "completed" | null> {
  const entry = recall(file, columns);
  if (!entry) return null;
  const found = await calls.look(entry.uploadId, signal).catch((error) => {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  });
  if (found?.status === "pending") return { ...entry, partIds: arrivedOf(entry, found.partIds) };
  forget(entry.uploadId);
  return found?.status === "completed" ? "completed" : null;
}

/** The parts from the file's beginning on that the server has. */
export function arrivedOf({ partIds }: Pick<Remembered, "partIds">, arrived: Set<string>) {
  const missing = partIds.findIndex((id) => !arrived.has(id));
  return missing < 0 ? partIds : partIds.slice(0, missing);
}

/** A browser can't read a file that was changed after it was chosen; it calls that a lost network. */
async function refuseUnreadable(part: Blob, name: string) {
  await part
    .slice(0, 1)
    .arrayBuffer()
    .catch(() => {
      throw new Error(`${name} was changed or removed after it was chosen. Choose it again.`);
    });
}

/** Call again after each pause, as long as the server can't be reached or is busy. */
async function patiently<Answer>(
  call: () => Promise<Answer>,
  signal: AbortSignal,
  onLost: () => void,
  pausesMs: number[],
): Promise<Answer> {
  for (const pauseMs of pausesMs) {
    refuseStopped(signal);
    try {
      return await call();
    } catch (error) {
      if (signal.aborted || !(error instanceof ApiError) || !isPassing(error)) throw error;
      onLost();
    }
    await pause(pauseMs, signal);
  }
  refuseStopped(signal);
  return call();
}

function refuseStopped(signal: AbortSignal) {
  if (signal.aborted) throw new ApiError(0, "The upload was stopped.");
}

/** Wait, but not longer than until the signal is aborted. */
function pause(pauseMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resume) => {
    const timer = setTimeout(resume, pauseMs);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resume();
      },
      { once: true },
    );
  });
}

/** Whether a later attempt may succeed: no answer, too slow, too many requests, a server error. */
function isPassing({ status }: ApiError): boolean {
  return [0, 408, 429, 500, 502, 503, 504].includes(status);
}
