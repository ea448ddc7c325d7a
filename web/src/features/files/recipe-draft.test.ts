import { expect, test } from "vitest";
import {
  clearSteps,
  hasStep,
  lineSteps,
  offeredSteps,
  offerLines,
  offerStep,
  type RecipeStep,
  withdrawLines,
  withdrawStep,
} from "@/features/files/recipe-draft";

const drop: RecipeStep = { step: "drop", finding: "email" };
const once: RecipeStep = { step: "deduplicate", finding: "duplicate" };

test("keeps the order of the clicks, each step once, for each file", () => {
  offerStep("a", once);
  offerStep("a", drop);
  offerStep("a", { ...once });
  offerStep("b", drop);
  expect(offeredSteps("a")).toEqual([once, drop]);
  expect(hasStep(offeredSteps("a"), { ...drop })).toBe(true);
  withdrawStep("a", { ...once });
  expect(offeredSteps("a")).toEqual([drop]);
  clearSteps("a");
  expect(offeredSteps("a")).toEqual([]);
  expect(offeredSteps("b")).toEqual([drop]);
});

test("a line is swapped once or dropped, never both, and a split stays last", () => {
  const split: RecipeStep = { step: "split", held_out: 0.1, seed: 0 };
  offerStep("c", drop);
  offerStep("c", split);
  offerLines("c", "swap", [9, 2]);
  offerLines("c", "swap", [2, 30]);
  expect(offeredSteps("c")).toEqual([drop, { step: "swap", lines: [2, 9, 30] }, split]);
  offerLines("c", "drop_rows", [9, 2, 30, 4]);
  expect(offeredSteps("c")).toEqual([drop, { step: "drop_rows", lines: [2, 4, 9, 30] }, split]);
  offerLines("c", "swap", [4]);
  expect(lineSteps(offeredSteps("c")).get(4)).toBe("swap");
  withdrawLines("c", [4, 2, 9, 30]);
  expect(offeredSteps("c")).toEqual([drop, split]);
});

test("more lines than a step may name go into several steps", () => {
  const lines = Array.from({ length: 10_001 }, (_, at) => at + 1);
  offerLines("d", "drop_rows", lines);
  offerLines("d", "drop_rows", [20_000]);
  expect(offeredSteps("d")).toEqual([
    { step: "drop_rows", lines: lines.slice(0, 10_000) },
    { step: "drop_rows", lines: [10_001, 20_000] },
  ]);
  withdrawLines("d", lines);
  expect(offeredSteps("d")).toEqual([{ step: "drop_rows", lines: [20_000] }]);
});
