import { expect, test } from "vitest";
import {
  clearSteps,
  hasStep,
  offeredSteps,
  offerStep,
  type RecipeStep,
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
