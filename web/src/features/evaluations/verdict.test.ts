import { expect, test } from "vitest";
import type { Estimate, Evaluation, Score } from "@/features/evaluations/objects";
import { movements, questionOf, verdictOf, worseQuestion } from "@/features/evaluations/verdict";

const estimate = (value: number, low: number, high: number): Estimate => ({
  value,
  low,
  high,
  n: 541,
});
const score = (category: string | null, difference: Estimate | null): Score => ({
  metric: "prompt_strict",
  category,
  model: estimate(0.42, 0.38, 0.46),
  baseline: difference && estimate(0.4, 0.36, 0.44),
  difference,
});
const suite: Evaluation["suite"] = { name: "ifeval", title: "IFEval", data: "f", sha256: null };
const found = (difference: Estimate | null) =>
  verdictOf({ suite, scores: [score(null, difference)], preference: null, baseline: null });

test("better is said only of an interval that leaves out zero", () => {
  expect(found(estimate(0.02, 0.01, 0.03))).toEqual({
    reading: "better",
    answer: "Yes, more than chance",
    detail:
      "Prompts, strict 42.0% (38.0% to 46.0%): +2.0 points (+1.0 to +3.0) compared with the baseline, on 541 prompts.",
  });
  expect(found(estimate(0.02, -0.01, 0.05))?.answer).toBe("Can’t tell yet");
  expect(found(estimate(0.02, -0.01, 0.05))?.detail).toContain("use more prompts");
  expect(found(estimate(-0.05, -0.08, -0.02))?.reading).toBe("worse");
});

test("without a baseline there is a value and no verdict", () => {
  const verdict = found(null);
  expect(verdict?.reading).toBeNull();
  expect(verdict?.answer).toBe("Prompts, strict 42.0% (38.0% to 46.0%)");
  expect(verdictOf({ suite, scores: [], preference: null, baseline: null })).toBeNull();
});

test("the question names what the answers are compared with", () => {
  const preference = {} as Evaluation["preference"];
  const baseline = {} as Evaluation["baseline"];
  expect(questionOf({ baseline, preference })).toBe("Is it better than the baseline?");
  expect(questionOf({ baseline: null, preference })).toContain("answers in the file");
  expect(questionOf({ baseline: null, preference: null })).toBe("How good is it?");
});

test("categories that got worse are named, the worst first, and none that only may have", () => {
  const scores = [
    score(null, estimate(0, -0.1, 0.1)),
    score("a", estimate(-0.1, -0.15, -0.05)),
    score("b", estimate(-0.3, -0.4, -0.2)),
    score("c", estimate(-0.1, -0.2, 0.1)),
    score("d", estimate(0.3, 0.2, 0.4)),
  ];
  expect(movements({ scores }, "worse").map(({ category }) => category)).toEqual(["b", "a"]);
  expect(movements({ scores }, "better").map(({ category }) => category)).toEqual(["d"]);
});

test("a verdict on similarities is about diversity", () => {
  const of = (category: string | null, value: number) => ({
    ...score(category, estimate(value, value - 0.01, value + 0.01)),
    metric: "per_input",
  });
  const baseline = { model: "base" } as Evaluation["baseline"];
  const asked = { suite, preference: null, baseline, diversity: { embedder: "e" } };
  const said = (value: number) => verdictOf({ scores: [of(null, value)], ...asked });
  expect(said(-0.05)?.answer).toBe("Yes, more than chance");
  expect(said(0.05)?.answer).toBe("No, it is less diverse, more than chance");
  expect(questionOf(asked)).toBe("Is it more diverse than the baseline?");
  expect(questionOf({ ...asked, baseline: null })).toBe("How diverse is it?");
  expect(worseQuestion(asked)).toBe("Where did it get less diverse?");
  expect(worseQuestion({ baseline, preference: null })).toBe("Where did it get worse?");
  const scores = [of(null, 0.1), of("a", 0.05), of("b", 0.3), of("c", -0.2)];
  expect(movements({ scores }, "worse").map(({ category }) => category)).toEqual(["b", "a"]);
});
