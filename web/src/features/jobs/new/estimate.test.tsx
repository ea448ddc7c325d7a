import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EstimateCard, sizeInWords } from "@/features/jobs/new/estimate";
import { sizeOf } from "@/features/jobs/new/estimates";
import { client, type Schema } from "@/lib/api";

const scrolled = vi.fn();
beforeEach(() => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  Element.prototype.scrollIntoView = scrolled;
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const answer = (status: string) =>
  ({ data: { id: "est-1", status, prepared: null }, response: new Response() }) as never;

test("a measurement comes into view, shows how long it runs and can be cancelled", async () => {
  vi.spyOn(client, "GET").mockResolvedValue(answer("running"));
  const post = vi.spyOn(client, "POST").mockResolvedValue(answer("cancelled"));
  render(
    <QueryClientProvider client={new QueryClient()}>
      <EstimateCard id="est-1" isStale={false} />
    </QueryClientProvider>,
  );
  await screen.findByText(/Measuring three steps/);
  expect(scrolled).toHaveBeenCalled();
  await act(() => vi.advanceTimersByTimeAsync(7_000));
  expect(screen.getByText(/running for [78] s/)).toBeVisible();
  act(() => screen.getByRole("button", { name: /Cancel/ }).click());
  expect(await screen.findByText("It was cancelled.")).toBeVisible();
  expect(post.mock.calls[0]?.[0]).toBe("/v1/fine_tuning/jobs/estimate/{estimate_id}/cancel");
  expect(screen.queryByRole("button")).toBeNull();
});

const job: Schema<"JobSize"> = {
  pairs: 900,
  held_out_pairs: 100,
  steps: 113,
  tokens: 360_000,
  train_s: 200,
  speed: { estimate: "ftjob-1", tokens_per_s: 1_800, device: "cpu" },
};

test("an estimate at once uses the speed that was measured last, or says that there is none", () => {
  expect(sizeInWords(job)[0]).toBe(
    "Training: about 3:20 min. 113 steps, 360,000 tokens, 900 pairs.",
  );
  expect(sizeInWords(job)[1]).toContain("At 1,800 tokens a second");
  expect(sizeInWords({ ...job, train_s: null, speed: null })[1]).toContain("No speed was measured");
  expect(sizeInWords(null)).toHaveLength(1);
});

test("the size of a run is counted with its own settings", () => {
  const body = {
    model: "m",
    training_file: "f",
    method: { type: "orpo", orpo: { hyperparameters: { n_epochs: 3, lambda: 0.2 } } },
  } as unknown as Schema<"CreateJob">;
  expect(sizeOf(body)).toEqual({ file: "f", model: "m", n_epochs: 3 });
});
