import { expect, test } from "vitest";
import { editable, withChoice } from "@/features/playground/vote";

test("the better answer can be edited, and either one if none is better", () => {
  expect([editable("a"), editable("b"), editable("tie"), editable("both_bad")]).toEqual([
    [0],
    [1],
    [0, 1],
    [0, 1],
  ]);
});

test("another choice keeps the reason and the note, and the edit only where it still fits", () => {
  const vote = {
    choice: "a" as const,
    reason: "clear" as const,
    note: "n",
    edit: { side: 0, text: "x" },
  };
  expect(withChoice(vote, "tie")).toEqual({ ...vote, choice: "tie" });
  expect(withChoice(vote, "b")).toEqual({ ...vote, choice: "b", edit: null });
  expect(withChoice(null, "b")).toEqual({ choice: "b", edit: null });
});
