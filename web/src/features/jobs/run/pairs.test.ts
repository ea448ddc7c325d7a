import { expect, test } from "vitest";
import { FATES, judge, type Pair, prefersRejected } from "@/features/jobs/run/pairs";

const pair = (was: number, is: number) =>
  ({
    line: 1,
    before: { step: 0, log_odds_ratio: was },
    after: { step: 86, log_odds_ratio: is },
  }) as Pair;

test.each([
  [-3, -1, "margin grew, but the rejected answer is still preferred", true],
  [-1, -3, "margin shrank, and the rejected answer is still preferred", true],
  [1, -1, "now prefers the rejected answer", true],
  [-1, 1, "now prefers the chosen answer", false],
  [1, 3, "margin grew", false],
  [3, 1, "margin shrank", false],
])("a pair that moved from %d to %d: %s", (was, is, words, isRejected) => {
  const [judged] = judge([pair(was, is)]);
  expect(judged && FATES[judged.fate]).toBe(words);
  expect(judged && prefersRejected(judged)).toBe(isRejected);
});
