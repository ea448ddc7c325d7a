import { expect, test } from "vitest";
import {
  advance,
  pace,
  refusal,
  type Upload,
  type UploadStep,
} from "@/features/files/upload-state";

const chosen: Upload = {
  id: 1,
  name: "pairs.jsonl",
  size: 2_000,
  phase: "waiting",
  share: 0,
  error: null,
  inParts: true,
  isLost: false,
  samples: [],
};
const sent = (share: number, at = 0) => ({ type: "sent", share, at }) as const;
const after = (...steps: UploadStep[]) => steps.reduce(advance, chosen);

test("goes from waiting over sending to storing", () => {
  expect(after({ type: "start" })).toMatchObject({ phase: "sending", share: 0 });
  expect(after({ type: "start" }, sent(0.4))).toMatchObject({
    phase: "sending",
    share: 0.4,
  });
  expect(after({ type: "start" }, sent(1))).toMatchObject({
    phase: "storing",
    share: 1,
  });
});

test("never runs backwards, nor past the end", () => {
  const late = after({ type: "start" }, sent(0.8), sent(0.5));
  expect(late.share).toBe(0.8);
  expect(after(sent(1.2))).toMatchObject({ phase: "storing", share: 1 });
});

test("a failure keeps its sentence, whatever the browser still reports", () => {
  const failed = after(
    { type: "start" },
    { type: "fail", message: "The file is too large." },
    sent(1),
  );
  expect(failed).toMatchObject({ phase: "failed", error: "The file is too large." });
});

test("says at once what can't be read", () => {
  expect(refusal({ name: "pairs.xlsx", size: 9 })).toMatch(/CSV/);
  expect(refusal({ name: "pairs.jsonl.zip", size: 9 })).toMatch(/inside/);
  expect(refusal({ name: "pairs.jsonl", size: 0 })).toMatch(/empty/);
  expect(refusal({ name: "PAIRS.JSONL", size: 9 })).toBeNull();
  for (const name of ["pairs.json", "pairs.csv", "pairs.jsonl.zst", "pairs.parquet", "pairs"])
    expect(refusal({ name, size: 9 })).toBeNull();
});

test("a paused upload goes on where the server is, and says why it was paused", () => {
  const paused = after({ type: "start" }, sent(0.6), { type: "pause", message: "No answer." });
  expect(paused).toMatchObject({ phase: "paused", share: 0.6, error: "No answer." });
  expect(advance(paused, sent(0.7))).toMatchObject({ phase: "paused", share: 0.6 });
  const on = [{ type: "wait" }, { type: "start" }, sent(0.5)] as const;
  expect(on.reduce(advance, paused)).toMatchObject({ phase: "sending", share: 0.5, error: null });
});

test("the pace is that of the last seconds; what had arrived before does not count", () => {
  expect(pace(after({ type: "start" }, sent(0.5, 0), sent(0.51, 300)))).toEqual({
    perSecond: null,
    left: null,
  });
  const steady = after({ type: "start" }, sent(0.5, 0), sent(0.6, 1_000), sent(0.7, 2_000));
  expect(pace(steady).perSecond).toBeCloseTo(200);
  expect(pace(steady).left).toBeCloseTo(3);
  const slower = [sent(0.71, 11_500), sent(0.72, 21_000)].reduce(advance, steady);
  expect(pace(slower).perSecond).toBeCloseTo(20 / 9.5);
});

test("a lost connection ends the pace until something is sent again", () => {
  const going = after({ type: "start" }, sent(0.5, 0), sent(0.6, 2_000));
  const lost = advance(going, { type: "lost" });
  expect(lost).toMatchObject({ isLost: true, share: 0.6, phase: "sending" });
  expect(pace(lost).perSecond).toBeNull();
  expect(advance(lost, sent(0.7, 3_000)).isLost).toBe(false);
});
