/** A large file, sent in parts: after a lost connection only one part is sent again. */
import { PURPOSE, sendForm } from "@/features/files/api";
import { ApiError, client, type Schema, take } from "@/lib/api";

/** Files above this size are sent in parts. */
export const ABOVE_BYTES = 64 * 2 ** 20;
const PART_BYTES = 16 * 2 ** 20;
/** Pauses before a request is sent again; a server that is restarted needs a few seconds. */
const PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000, 16_000];

type OnSent = (share: number) => void;

/** The requests of an upload. */
export type Requests = {
  begin: (file: File, signal: AbortSignal) => Promise<string>;
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

const requests: Requests = {
  begin: async ({ name, size, type }, signal) => {
    const body = { filename: name, purpose: PURPOSE, bytes: size, mime_type: type };
    return (await take(client.POST("/v1/uploads", { body, signal }))).id;
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

/** Send a file in parts. If it is stopped or fails, its parts are removed. */
export async function sendInParts(
  file: File,
  signal: AbortSignal,
  onSent: OnSent,
  { begin, send, complete, cancel }: Requests = requests,
  { partBytes = PART_BYTES, pausesMs = PAUSES_MS } = {},
) {
  const again = <Answer>(call: () => Promise<Answer>) => patiently(call, signal, pausesMs);
  const uploadId = await again(() => begin(file, signal));
  try {
    const partIds: string[] = [];
    for (let offset = 0; offset < file.size; offset += partBytes) {
      const part = file.slice(offset, offset + partBytes);
      const show: OnSent = (share) => onSent((offset + share * part.size) / file.size);
      partIds.push(await again(() => send(uploadId, part, offset, signal, show)));
    }
    await again(() => complete(uploadId, partIds, signal));
  } catch (error) {
    // It would expire anyhow.
    await cancel(uploadId).catch(() => null);
    throw error;
  }
}

/** Call again after each pause, as long as the server can't be reached or is busy. */
async function patiently<Answer>(
  call: () => Promise<Answer>,
  signal: AbortSignal,
  pausesMs: number[],
): Promise<Answer> {
  for (const pauseMs of pausesMs) {
    try {
      return await call();
    } catch (error) {
      if (signal.aborted || !(error instanceof ApiError) || !isPassing(error)) throw error;
    }
    await new Promise((resume) => setTimeout(resume, pauseMs));
    if (signal.aborted) throw new ApiError(0, "The upload was stopped.");
  }
  return call();
}

/** Whether a later attempt may succeed: no answer, too slow, too many requests, a server error. */
function isPassing({ status }: ApiError): boolean {
  return [0, 408, 429, 500, 502, 503, 504].includes(status);
}
