/**
 * Server-sent events over fetch, so that a POST can stream too, and an error becomes a sentence.
 */
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { ApiError, errorOf } from "@/lib/api";

/**
 * The server sends at least a heartbeat every 15 s; after three missed ones the connection is dead.
 */
const SILENCE_MS = 45_000;
const BROKEN = "The connection broke off before the end.";

/**
 * Yield each event of a stream until its `[DONE]`. Throws if a stream ends without it, or if the
 * answer isn't a stream. `init.signal` ends it without an error.
 */
export async function* events(
  url: string,
  init: RequestInit = {},
): AsyncGenerator<EventSourceMessage> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...init });
  } catch (error) {
    if (init.signal?.aborted) return;
    throw new ApiError(0, `The server can't be reached (${(error as Error).message}).`);
  }
  if (!response.ok || !response.body) throw await errorOf(response);
  const waiting: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => waiting.push(event) });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    while (true) {
      const { done, value } = await heard(reader);
      if (done) throw new ApiError(0, BROKEN);
      parser.feed(value);
      for (const event of waiting.splice(0)) {
        if (event.data === "[DONE]") return;
        yield event;
      }
    }
  } catch (error) {
    if (init.signal?.aborted) return;
    throw error instanceof ApiError ? error : new ApiError(0, BROKEN);
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function heard(reader: ReadableStreamDefaultReader<string>) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ApiError(0, BROKEN)), SILENCE_MS);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } finally {
    clearTimeout(timer);
  }
}
