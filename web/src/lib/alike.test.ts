import { diffWordsWithSpace } from "diff";
import { expect, test } from "vitest";
import { areAlike } from "@/lib/alike";

const alike = (a: string, b: string) => areAlike(diffWordsWithSpace(a, b));

test("texts that differ in a few words are alike", () => {
  expect(alike("Keep the bread warm.", "Keep the bread cold.")).toBe(true);
  expect(alike("", "")).toBe(true);
});

test("texts that share only small words and spaces are not alike", () => {
  expect(
    alike(
      "The capital of France is Paris, and the river there is the Seine.",
      "I am sorry, but the question of geography is one that nobody here wants to answer.",
    ),
  ).toBe(false);
  expect(alike("yes", "")).toBe(false);
});
