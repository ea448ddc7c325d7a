/** Requests: ask both sides, stop one, vote, take a vote back. */
import { type ComparisonEvent, parseEvent } from "@/features/playground/api/comparison-events";
import type { Message } from "@/features/playground/conversation";
import type { Sampling } from "@/features/playground/sampling";
import { client, type Schema, take } from "@/lib/api";
import { events } from "@/lib/sse";

export type Question = {
  sides: ({ model: string; messages: Message[] } & Sampling)[];
  held_out?: { job_id: string; line: number };
};

// Tokens arrive faster than the page needs to be redrawn.
const FLUSH_MS = 50;

/**
 * Ask, and pass on the received frames, several at a time. Throws if the answer is an error or is
 * interrupted; returns without an error when `signal` aborts it.
 */
export async function ask(
  question: Question,
  signal: AbortSignal,
  heard: (events: ComparisonEvent[]) => void,
): Promise<void> {
  let waiting: ComparisonEvent[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    if (waiting.length > 0 && !signal.aborted) heard(waiting);
    waiting = [];
  };
  try {
    const stream = events("/v1/comparisons", { ...json(question), signal });
    for await (const { data } of stream) {
      const event = parseEvent(data);
      if (!event) continue;
      waiting.push(event);
      timer ??= setTimeout(flush, FLUSH_MS);
    }
  } finally {
    flush();
  }
}

export async function stopSide(comparison_id: string, side: number): Promise<void> {
  const params = { path: { comparison_id } };
  await take(client.POST("/v1/comparisons/{comparison_id}/stop", { params, body: { side } }));
}

/** A vote as it is sent; a later one replaces all of it. */
export type Vote = Schema<"CastVote">;

export const vote = (comparison_id: string, body: Vote): Promise<Schema<"ComparisonObject">> => {
  const params = { path: { comparison_id } };
  return take(client.POST("/v1/comparisons/{comparison_id}/vote", { params, body }));
};

export const takeBack = (comparison_id: string): Promise<Schema<"ComparisonObject">> => {
  const params = { path: { comparison_id } };
  return take(client.DELETE("/v1/comparisons/{comparison_id}/vote", { params }));
};

function json(body: unknown): RequestInit {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
}
