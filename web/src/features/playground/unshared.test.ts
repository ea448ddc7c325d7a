import { expect, test } from "vitest";
import { unshared } from "@/features/playground/unshared";

test("each answer stays whole, with its own words marked", () => {
  const [a, b] = unshared("Keep the bread warm.", "Keep the bread cold.") ?? [[], []];
  expect(a.map(({ text }) => text).join("")).toBe("Keep the bread warm.");
  expect(b.filter(({ isOnlyHere }) => isOnlyHere).map(({ text }) => text)).toEqual(["cold"]);
});

test("answers that share nothing don't hold up the page", () => {
  const words = (name: string) => Array.from({ length: 4_000 }, (_, n) => `${name}${n}`).join(" ");
  const started = performance.now();
  expect(unshared(words("a"), words("b"))).toBeNull();
  expect(performance.now() - started).toBeLessThan(2_000);
});

test("answers with little in common are not marked", () => {
  expect(unshared("The sky is blue today.", "I can't say which of them is right.")).toBeNull();
});
