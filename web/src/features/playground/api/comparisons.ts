/** Asking both sides, stopping one, voting. */
import {
  type Choice,
  type ComparisonEvent,
  parseEvent,
} from "@/features/playground/api/comparison-events";
import type { Message } from "@/features/playground/conversation";
import type { Sampling } from "@/features/playground/sampling";
import { client, take } from "@/lib/api";
import { events } from "@/lib/sse";

export type Question = {
  sides: ({ model: string; messages: Message[] } & Sampling)[];
  held_out?: { job_id: string; line: number };
};

// Tokens come faster than a page needs to be drawn.
const FLUSH_MS = 50;

/**
 * Ask and hand on what is said, some frames at a time. Throws where the answer is an error or
 * breaks off; ends quietly when `signal` ends it.
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

export async function vote(comparison_id: string, choice: Choice): Promise<Choice | null> {
  const params = { path: { comparison_id } };
  const voted = client.POST("/v1/comparisons/{comparison_id}/vote", { params, body: { choice } });
  return (await take(voted)).choice;
}

function json(body: unknown): RequestInit {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
}
