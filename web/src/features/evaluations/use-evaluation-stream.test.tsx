import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { renderHook, waitFor } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { keys } from "@/features/evaluations/api";
import type { Evaluation } from "@/features/evaluations/objects";
import { useEvaluationStream } from "@/features/evaluations/use-evaluation-stream";

afterEach(() => vi.unstubAllGlobals());

const frame = (id: string, state: object) =>
  `id: ${id}\nevent: state\ndata: ${JSON.stringify(state)}\n\n`;
const DONE = "event: done\ndata: {}\n\ndata: [DONE]\n\n";
const answer = (...frames: string[]) =>
  new Response(frames.join(""), { headers: { "Content-Type": "text/event-stream" } });

test("progress is shown as it comes; after a break the stream goes on, and at the end all is read again", async () => {
  const queries = new QueryClient();
  queries.setQueryData(keys.one("eval-1"), { id: "eval-1", status: "queued", judge: "kept" });
  const reread = vi.spyOn(queries, "invalidateQueries");
  const asked: (string | null)[] = [];
  const answers = [
    answer(frame("1", { status: "running" })),
    answer(frame("2", { status: "succeeded", progress: null }), DONE),
  ];
  vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
    asked.push(new Headers(init.headers).get("Last-Event-ID"));
    return answers.shift();
  });
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={queries}>{children}</QueryClientProvider>
  );
  const known = () => queries.getQueryData<Evaluation>(keys.one("eval-1"));
  const { rerender } = renderHook(
    () => useEvaluationStream("eval-1", known()?.status !== "succeeded"),
    { wrapper },
  );
  await waitFor(() => expect(known()?.status).toBe("running"));
  // The page learns of the end by another way before the stream tells of it.
  queries.setQueryData(keys.one("eval-1"), { ...known(), status: "succeeded" });
  rerender();
  await waitFor(() => expect(reread).toHaveBeenCalledWith({ queryKey: keys.one("eval-1") }), {
    timeout: 4000,
  });
  expect(reread).toHaveBeenCalledWith({ queryKey: keys.results("eval-1") });
  expect(known()?.judge).toBe("kept");
  expect(asked).toEqual(["", "1"]);
});

test("an evaluation that has ended is not followed", () => {
  const fetch = vi.fn();
  vi.stubGlobal("fetch", fetch);
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={new QueryClient()}>{children}</QueryClientProvider>
  );
  renderHook(() => useEvaluationStream("eval-1", false), { wrapper });
  expect(fetch).not.toHaveBeenCalled();
});
