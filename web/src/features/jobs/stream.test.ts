import { expect, test } from "vitest";
import { join, type Series } from "@/features/jobs/series";
import { backoff, type Message, reduce, start } from "@/features/jobs/stream";

const metrics = (step: number, loss: number | null, split = "train"): Message => ({
  id: `0.${split === "train" ? step : 0}.${split === "train" ? 0 : step}`,
  event: "metrics",
  data: JSON.stringify({ step, split, values: { loss } }),
});
const event = (seq: number): Message => ({
  id: `${seq}.0.0`,
  event: "event",
  data: JSON.stringify({ id: `ftevent-${seq}`, message: "Saved." }),
});
const run = (...messages: Message[]) => messages.reduce(reduce, start(""));

test("points come in order, and one told again after a reconnect is not drawn twice", () => {
  const state = run(metrics(1, 3), metrics(2, 2), metrics(2, 2), metrics(3, 1));
  expect(state.series["train:loss"]?.map((point) => point.x)).toEqual([1, 2, 3]);
  expect(state.lastId).toBe("0.3.0");
});

test("the splits are apart, and what is not a number stays a gap", () => {
  const state = run(metrics(5, null), metrics(5, 2, "held_out"));
  expect(state.series["train:loss"]?.[0]?.y).toBeNull();
  expect(state.series["held_out:loss"]?.[0]?.y).toBe(2);
});

test("events are kept once, states are merged, done ends", () => {
  const state = run(
    event(4),
    event(4),
    { id: "4.0.0", event: "state", data: '{"status":"running"}' },
    { id: "4.0.0", event: "state", data: '{"progress":{"step":3}}' },
    { id: "4.0.0", event: "done", data: "{}" },
  );
  expect(state.events).toHaveLength(1);
  expect(state.job).toEqual({ status: "running", progress: { step: 3 } });
  expect(state.ended).toBe(true);
});

test("a failure frame throws with its sentence", () => {
  expect(() => run({ data: '{"error":{"message":"It broke off."}}' })).toThrow("It broke off.");
});

test("history and stream meet without a gap or a double point, within the range", () => {
  const at = (x: number) => ({ x, y: x, low: x, high: x });
  const history: Series = { "train:loss": [at(1), at(2)] };
  const streamed: Series = { "train:loss": [at(2), at(3), at(9)], "held_out:loss": [at(4)] };
  const joined = join(history, streamed, [0, 5]);
  expect(joined["train:loss"]?.map((point) => point.x)).toEqual([1, 2, 3]);
  expect(joined["held_out:loss"]).toHaveLength(1);
});

test("reconnecting backs off to half a minute", () => {
  expect([0, 1, 2, 20].map(backoff)).toEqual([500, 1000, 2000, 30_000]);
});
