import { expect, test } from "vitest";
import { outline } from "@/features/evaluations/histogram";

test("a histogram is a line of steps that begins and ends on the ground", () => {
  expect(outline([1, 2], 2, 100, 10)).toBe("M0,10V5H50V0H100V10");
  expect(outline([], 1, 100, 10)).toBe("");
  expect(outline([0], 0, 100, 10)).toBe("");
});
