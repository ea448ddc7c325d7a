/** Follows a stream of the API to its own end, and reconnects after every break. */
import { backoff, reduce, type Streamed, start } from "@/features/jobs/stream";
import { pause } from "@/lib/pause";
import { events } from "@/lib/sse";

const REDRAW_MS = 250;

type Following = {
  url: string;
  /** The id of the event after which it begins. */
  from: string;
  /** Called at most every 250 ms, and at the end; returns the state to continue with. */
  show: (current: Streamed) => Streamed;
  onBroken: (broken: boolean) => void;
  onEnd: () => void;
};

/** Begin to follow; returns a function that stops it. */
export function follow({ url, from, show, onBroken, onEnd }: Following): () => void {
  const aborter = new AbortController();
  const { signal } = aborter;
  let current = start(from);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let attempt = 0;

  const draw = () => {
    timer = undefined;
    current = show(current);
  };
  const listen = async () => {
    const headers = { "Last-Event-ID": current.lastId };
    for await (const message of events(url, { headers, signal })) {
      attempt = 0;
      onBroken(false);
      current = reduce(current, message);
      timer ??= setTimeout(draw, REDRAW_MS);
    }
  };
  const toItsEnd = async () => {
    while (!signal.aborted && !current.ended) {
      await listen().catch(() => onBroken(true));
      if (!current.ended) await pause(backoff(attempt++), signal);
    }
    if (signal.aborted) return;
    clearTimeout(timer);
    draw();
    onEnd();
  };
  toItsEnd();
  return () => {
    aborter.abort();
    clearTimeout(timer);
  };
}
