import { expect, test } from "vitest";
import { advance, refusal, type Upload, type UploadStep } from "@/features/files/upload-state";

const chosen: Upload = {
  id: 1,
  name: "pairs.jsonl",
  size: 2_000,
  phase: "waiting",
  share: 0,
  error: null,
};
const after = (...steps: UploadStep[]) => steps.reduce(advance, chosen);

test("goes from waiting over sending to storing", () => {
  expect(after({ type: "start" })).toMatchObject({ phase: "sending", share: 0 });
  expect(after({ type: "start" }, { type: "sent", share: 0.4 })).toMatchObject({
    phase: "sending",
    share: 0.4,
  });
  expect(after({ type: "start" }, { type: "sent", share: 1 })).toMatchObject({
    phase: "storing",
    share: 1,
  });
});

test("never runs backwards, nor past the end", () => {
  const late = after({ type: "start" }, { type: "sent", share: 0.8 }, { type: "sent", share: 0.5 });
  expect(late.share).toBe(0.8);
  expect(after({ type: "sent", share: 1.2 })).toMatchObject({ phase: "storing", share: 1 });
});

test("a failure keeps its sentence, whatever the browser still reports", () => {
  const failed = after(
    { type: "start" },
    { type: "fail", message: "The file is too large." },
    { type: "sent", share: 1 },
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
