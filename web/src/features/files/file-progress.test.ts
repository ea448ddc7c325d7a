import { expect, test } from "vitest";
import { progressInWords } from "@/features/files/file-progress";

test("progress names the stage, the step of a recipe and the share", () => {
  const rows = { done: 1, total: 3, unit: "rows" } as const;
  const step = { step: 2, steps: 4, name: "filter" };
  expect(progressInWords({ stage: "make", ...rows, ...step })).toBe(
    "being made: step 2 of 4 (filter), 33 %",
  );
  const none = { step: null, steps: null, name: null };
  expect(progressInWords({ stage: "audit", ...rows, ...none })).toBe("being audited, 33 %");
  expect(progressInWords({ stage: "validate", done: 9, total: null, unit: "bytes", ...none })).toBe(
    "being checked",
  );
});
