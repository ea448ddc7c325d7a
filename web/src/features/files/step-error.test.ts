import { expect, test } from "vitest";
import { stepOf } from "@/features/files/step-error";
import { ApiError } from "@/lib/api";

test("an error leads to the step that it names", () => {
  const named = (param: string | null) => new ApiError(400, "No.", null, param);
  expect(stepOf(named("recipe.1.lines"), 2)).toBe(1);
  expect(stepOf(named("recipe.0"), 2)).toBe(0);
  for (const param of ["recipe", "recipe.2", "recipe.x", "file_id", null])
    expect(stepOf(named(param), 2)).toBeNull();
  expect(stepOf(new Error("recipe.1"), 2)).toBeNull();
});
