/** Reduces a job's stream to one state. Pure: the same messages give the same state. */
import type { Job, JobEvent } from "@/features/jobs/api";
import type { Series } from "@/features/jobs/series";
import type { Schema } from "@/lib/api";

export type Message = { id?: string; event?: string; data: string };

export type Streamed = {
  /** The place to continue from after a break: `Last-Event-ID`. */
  lastId: string;
  job: Partial<Job>;
  series: Series;
  /** Oldest first. */
  events: JobEvent[];
  ended: boolean;
};

export const start = (lastId: string): Streamed => ({
  lastId,
  job: {},
  series: {},
  events: [],
  ended: false,
});

/** Throws when the stream says that it failed, so that the caller reconnects. */
export function reduce(state: Streamed, message: Message): Streamed {
  const data = JSON.parse(message.data);
  if (!message.event && data.error) throw new Error((data as Schema<"ErrorBody">).error.message);
  const next = message.id ? { ...state, lastId: message.id } : state;
  switch (message.event) {
    case "state":
      return { ...next, job: { ...state.job, ...data } };
    case "metrics":
      return { ...next, series: append(state.series, data) };
    case "event":
      if (state.events.some((event) => event.id === data.id)) return next;
      return { ...next, events: [...state.events, data] };
    case "done":
      return { ...next, ended: true };
    default:
      return next;
  }
}

function append(series: Series, { step, split, values }: Schema<"StepNumbers">): Series {
  const grown = { ...series };
  for (const [name, y] of Object.entries(values)) {
    const key = `${split}:${name}`;
    const known = series[key] ?? [];
    const last = known.at(-1);
    // A step that was sent before a break may be sent again.
    if (last === undefined || last.x < step)
      grown[key] = [...known, { x: step, y, low: y, high: y }];
  }
  return grown;
}

/** How long to wait before the n-th attempt to reconnect, in ms: doubling up to half a minute. */
export const backoff = (attempt: number) => Math.min(30_000, 500 * 2 ** attempt);
