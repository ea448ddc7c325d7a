import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { renderHook, waitFor } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { seriesKey } from "@/features/jobs/series";
import { useJobStream } from "@/features/jobs/use-job-stream";

afterEach(() => vi.unstubAllGlobals());

const frame = (step: number) =>
  `id: 7.${step}.0\nevent: metrics\ndata: ${JSON.stringify({ step, split: "train", values: { loss: step } })}\n\n`;

const answer = (...frames: string[]) =>
  new Response(frames.join(""), { headers: { "Content-Type": "text/event-stream" } });

const queries = new QueryClient();
const wrapper = ({ children }: { children: ReactNode }) => (
  <QueryClientProvider client={queries}>{children}</QueryClientProvider>
);

test("after a break it asks for what follows the last message, and draws no point twice", async () => {
  const asked: (string | null)[] = [];
  const answers = [
    answer(frame(1), frame(2)),
    answer(frame(2), frame(3), "event: done\ndata: {}\n\n", "data: [DONE]\n\n"),
  ];
  vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
    asked.push(new Headers(init.headers).get("Last-Event-ID"));
    return answers.shift();
  });
  const { result } = renderHook(() => useJobStream("ftjob-1", "7.0.0"), { wrapper });
  await waitFor(() => expect(result.current.series["train:loss"]).toHaveLength(3), {
    timeout: 4000,
  });
  expect(result.current.series["train:loss"]?.map((point) => point.x)).toEqual([1, 2, 3]);
  expect(asked).toEqual(["7.0.0", "7.2.0"]);
});

test("a long stream is handed over to the history, which comes in buckets", async () => {
  const steps = Array.from({ length: 1001 }, (_, index) => frame(index + 1));
  let say = (_: string) => {};
  const stream = new ReadableStream({
    start(out) {
      say = (text) => out.enqueue(new TextEncoder().encode(text));
      say(steps.join(""));
    },
  });
  vi.stubGlobal("fetch", async () => new Response(stream));
  const invalidated = vi.spyOn(queries, "invalidateQueries");
  const history = (x: number) => ({ "train:loss": [{ x, y: 1, low: 1, high: 1 }] });
  const { result, rerender } = renderHook((known) => useJobStream("ftjob-1", "7.0.0", known), {
    wrapper,
    initialProps: history(0),
  });
  await waitFor(() => expect(invalidated).toHaveBeenCalledTimes(1), { timeout: 4000 });
  expect(invalidated.mock.calls[0]?.[0]?.queryKey).toEqual(seriesKey("ftjob-1"));
  rerender(history(1000));
  say(`${frame(1002)}event: done\ndata: {}\n\ndata: [DONE]\n\n`);
  await waitFor(() => expect(result.current.series["train:loss"]).toHaveLength(2), {
    timeout: 4000,
  });
  expect(result.current.series["train:loss"]?.map((point) => point.x)).toEqual([1001, 1002]);
});
