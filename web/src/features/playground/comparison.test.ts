import { expect, test } from "vitest";
import { type ComparisonEvent, parseEvent } from "@/features/playground/api/comparison-events";
import {
  bothEnded,
  type Comparison,
  type ComparisonAction,
  comparisonReducer,
  UNASKED,
  voteNeeds,
} from "@/features/playground/comparison";

const FIRST = {
  comparison: {
    id: "cmp-1",
    created_at: 1,
    held_out: null,
    choice: null,
    sides: [
      { side: 0, model: "base", adapter: false, checkpoint_step: null, weights_sha256: "aa" },
      { side: 1, model: "ft:base", adapter: true, checkpoint_step: 88, weights_sha256: "bb" },
    ],
  },
};
const done = (side: number, finish_reason = "stop") => ({
  side,
  model: "m",
  done: true,
  finish_reason,
  usage: { prompt_tokens: 3, completion_tokens: 7 },
  first_token_s: 0.2,
  tokens_per_s: 31,
});

const END: ComparisonAction = { type: "ended", message: "It ended early." };

/** Frames as they come over the wire. */
function heard(...frames: unknown[]): ComparisonAction {
  const events = frames.map((frame) => parseEvent(JSON.stringify(frame)));
  return { type: "heard", events: events.filter((event): event is ComparisonEvent => !!event) };
}
const play = (...actions: ComparisonAction[]): Comparison =>
  actions.reduce(comparisonReducer, UNASKED);

test("two answers arrive at their own pace and each ends with its numbers", () => {
  const state = play(
    heard(FIRST, { side: 1, delta: "Hel" }, { side: 0, delta: "A" }),
    heard({ side: 1, delta: "lo" }, done(1, "length")),
  );
  expect(state.id).toBe("cmp-1");
  expect(state.sides[0]).toMatchObject({ status: "answering", text: "A" });
  expect(state.sides[1]).toMatchObject({
    status: "done",
    text: "Hello",
    finishReason: "length",
    tokens: 7,
    firstTokenS: 0.2,
    tokensPerS: 31,
  });
  expect(state.sides[1].attested).toMatchObject({ adapter: true, checkpoint_step: 88 });
  expect(bothEnded(state)).toBe(false);
  expect(bothEnded(comparisonReducer(state, heard(done(0))))).toBe(true);
});

test("a vote waits for the end of the stream, and for two answers", () => {
  const ended = play(
    heard(FIRST, { side: 0, delta: "A" }, done(0), { side: 1, delta: "B" }, done(1)),
  );
  expect(voteNeeds(ended)).toBe("wait");
  expect(voteNeeds(comparisonReducer(ended, END))).toBeNull();
  expect(voteNeeds(play(heard(FIRST, { side: 0, delta: "A" }, done(0), done(1)), END))).toBe(
    "answers",
  );
});

test("a side that dies leaves the other alone", () => {
  const state = play(
    heard(FIRST, { side: 0, delta: "A" }, { side: 1, delta: "B" }),
    heard({ side: 0, error: { message: "The engine died.", type: "server_error" } }),
    heard({ side: 1, delta: "C" }, { side: 0, delta: "late" }, done(1)),
  );
  expect(state.sides[0]).toMatchObject({ status: "failed", text: "A", error: "The engine died." });
  expect(state.sides[1]).toMatchObject({ status: "done", text: "BC", error: null });
});

test("a connection that breaks fails what is unfinished, and only that", () => {
  const state = play(heard(FIRST, done(0)), { type: "ended", message: "It broke off." });
  expect(state.sides.map(({ status }) => status)).toEqual(["done", "failed"]);
});

test("an error of the whole stream fails both sides", () => {
  const state = play(heard(FIRST, { error: { message: "Restarting." } }));
  expect(state.sides.map(({ error }) => error)).toEqual(["Restarting.", "Restarting."]);
});

test("a stopped side freezes at once and ends as stopped", () => {
  const stopped = play(heard(FIRST, { side: 0, delta: "A" }), { type: "stopped", side: 0 });
  const later = comparisonReducer(stopped, heard({ side: 0, delta: "B" }));
  expect(later.sides[0]).toMatchObject({ status: "stopping", text: "A" });
  expect(comparisonReducer(later, heard(done(0))).sides[0]).toMatchObject({
    status: "done",
    text: "A",
    finishReason: "stopped",
  });
});

test("a side that can't be stopped goes on with all that it said", () => {
  const state = play(
    heard(FIRST, { side: 0, delta: "A" }),
    { type: "stopped", side: 0 },
    heard({ side: 0, delta: "B" }),
    { type: "stop_failed", side: 0, message: "Unreachable." },
    heard({ side: 0, delta: "C" }),
  );
  expect(state.sides[0]).toMatchObject({ status: "answering", text: "ABC" });
  expect(state.sides[0].error).toContain("Unreachable.");
});

test("a refusal names the side that caused it", () => {
  const state = play({ type: "refused", message: "No such model.", side: 1 });
  expect(state.sides[1].error).toBe("No such model.");
  expect(state.sides[0].error).toContain("other side");
});

test("frames of other kinds and other sides change nothing", () => {
  expect(play(heard({ ping: 1 }, { side: 7, delta: "x" }, { side: 7, done: true }))).toEqual(
    UNASKED,
  );
});
