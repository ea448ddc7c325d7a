import { expect, test } from "vitest";
import { expectedShare, phaseOf, shareInWords, warningOf } from "@/features/files/deep-audit";

test("each phase of an audit is said", () => {
  const says = (status: string, progress: Parameters<typeof phaseOf>[0]["progress"] = null) =>
    phaseOf({ status, progress }).says;
  expect(says("validating_files")).toBe("Reading the pairs");
  expect(says("validating_files", { preparing: { tokenised: 10, pairs: 40 } })).toBe(
    "Read 10 of 40 pairs",
  );
  expect(says("queued")).toBe("Waiting for a free worker");
  expect(says("queued", { retry: { attempt: 2 } })).toContain("attempt 2");
  expect(says("running")).toBe("Loading the base model");
  expect(says("running", { step: 6, steps: 60, eta_s: 90 })).toBe("Step 6 of 60, 1:30 min left");
  expect(phaseOf({ status: "running", progress: { step: 15, steps: 60 } }).share).toBe(0.25);
  expect(says("running", { step: 60, steps: 60 })).toBe("Weighing the opinions");
});

test("a share has its interval, if there is one", () => {
  expect(shareInWords({ share: 0.09, low: 0.05, high: 0.15 })).toBe("9% (5% to 15%)");
  expect(shareInWords({ share: 0.09 })).toBe("9%");
  expect(shareInWords(undefined)).toBe("–");
});

test("a weak judge is warned of, with what to expect of it", () => {
  expect(warningOf({ accuracy: { share: 0.95, low: 0.9, high: 1 } })).toBeNull();
  expect(warningOf({})).toBeNull();
  const warning = warningOf({ accuracy: { share: 0.6, low: 0.5, high: 0.7 } });
  expect(warning).toContain("only 60%");
  expect(warning).toContain("about 20%");
  expect(expectedShare(0.875)).toBeCloseTo(0.69);
  expect(expectedShare(0.4)).toBe(0.1);
  expect(expectedShare(1)).toBe(0.97);
});
