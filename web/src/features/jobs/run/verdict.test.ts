import { expect, test } from "vitest";
import { judge, type Pair } from "@/features/jobs/run/pairs";
import {
  accuracyText,
  fewText,
  gradientText,
  verdictOf as verdictAbout,
} from "@/features/jobs/run/verdict";
import type { Series } from "@/features/jobs/series";

const line = (...values: (number | null)[]) =>
  values.map((y, x) => ({ x: x * 10, y, low: y, high: y }));
const about = { heldOut: 50, clip: null };
const verdictOf = (series: Series, pairs: Parameters<typeof verdictAbout>[1]) =>
  verdictAbout(series, pairs, about);
const codes = (series: Series) => verdictOf(series, []).findings.map((finding) => finding.code);

const healthy: Series = {
  "train:loss": line(...Array.from({ length: 40 }, (_, i) => 3 - i / 40)),
  "train:grad_norm": line(...Array.from({ length: 40 }, (_, i) => 2 + (i % 5) / 5)),
  "held_out:loss": line(3.8, 2.1, 2.0),
  "held_out:logps/chosen": line(-3.5, -2.0, -1.9),
  "held_out:logps/rejected": line(-3.6, -4.1, -4.3),
  "held_out:log_odds_ratio": line(0.03, 2.2, 2.5),
  "held_out:accuracy": line(0.48, 0.93, 0.95),
  "held_out:accuracy/low": line(0.34, 0.82, 0.85),
  "held_out:accuracy/high": line(0.62, 0.98, 0.99),
};

test("a healthy run that helped has no finding", () => {
  const verdict = verdictOf(healthy, []);
  expect(verdict.findings).toEqual([]);
  expect(verdict.effect?.reading).toBe("helped");
  expect(verdict.effect?.accuracy).toMatchObject({ before: 0.48, after: 0.95, low: 0.85 });
});

test("each guard sees its own trouble", () => {
  expect(codes({ ...healthy, "train:loss": line(3, 2, null) })).toEqual(["nan"]);
  expect(codes({ ...healthy, "held_out:logps/chosen": line(-3.5, -3.7, -3.9) })).toEqual([
    "both_sinking",
  ]);
  const norms = [...new Array(36).fill(2), 50, 60, 70, 80];
  expect(codes({ ...healthy, "train:grad_norm": line(...norms) })).toEqual(["exploding"]);
  expect(codes({ ...healthy, "held_out:loss": line(3.8, 2.0, 2.4) })).toEqual(["overfit"]);
});

test("overlapping intervals prove nothing, and one evaluation is too early", () => {
  const wide = { ...healthy, "held_out:accuracy/high": line(0.9, 0.98, 0.99) };
  expect(verdictOf(wide, []).effect?.reading).toBe("unclear");
  const young = verdictOf({ "held_out:loss": line(3.8), "train:loss": line(3, 2) }, []);
  expect(young).toMatchObject({ early: true, effect: null });
});

test("pairs that got worse are counted, lost ones apart; one evaluation judges nothing", () => {
  const numbers = (step: number, log_odds_ratio: number | null) => ({
    step,
    log_odds_ratio,
    logps_chosen: -1,
    logps_rejected: -2,
    nll: 1,
  });
  const pair = (line: number, was: number | null, is: number, step = 86): Pair => ({
    id: String(line),
    object: "fine_tuning.job.pair",
    line,
    prompt: null,
    chosen: null,
    rejected: null,
    cut: false,
    before: numbers(0, was),
    after: numbers(step, is),
  });
  const pairs = [pair(1, -1, 2), pair(2, 1, -1), pair(3, 3, 2), pair(4, null, 1), pair(5, 1, 1, 0)];
  expect(verdictOf({}, judge(pairs)).worse).toEqual({
    worse: 2,
    lost: 1,
    won: 1,
    behind: 1,
    total: 3,
  });
});

test("a reward model is judged by its margin", () => {
  const { effect, findings } = verdictOf(
    {
      "train:loss": healthy["train:loss"] ?? [],
      "held_out:loss": line(0.7, 0.3),
      "held_out:reward/margin": line(0.01, 2.5),
      "held_out:accuracy": line(0.48, 0.95),
      "held_out:accuracy/low": line(0.34, 0.85),
      "held_out:accuracy/high": line(0.62, 0.99),
    },
    [],
  );
  expect(findings).toEqual([]);
  expect(effect?.margin).toEqual({ name: "Reward margin", before: 0.01, after: 2.5 });
});

test("few held-out pairs are called few, with the interval; enough are counted only", () => {
  const { effect } = verdictAbout(healthy, [], { heldOut: 12, clip: null });
  expect(effect && fewText(effect)).toBe(
    "12 held-out pairs are few: the accuracy lies between 85% and 99%.",
  );
  const enough = verdictOf(healthy, []).effect;
  expect(enough && fewText(enough)).toBeNull();
  expect(enough?.accuracy && accuracyText(enough.accuracy, 50)).toBe(
    "48% → 95% (85% to 99%) of 50 held-out pairs",
  );
});

test("a margin that grew is no success while the rejected answer is still preferred", () => {
  const behind = { ...healthy, "held_out:log_odds_ratio": line(-3, -1, -0.4) };
  expect(verdictOf(behind, []).effect?.reading).toBe("behind");
});

test("gradients above the clip line are not called steady", () => {
  const clipped = (clip: number | null) => verdictAbout(healthy, [], { heldOut: 50, clip }).clipped;
  expect(gradientText(clipped(1))).toBe("the gradients are clipped in about 100% of the steps");
  expect(gradientText(clipped(5))).toBe("the gradients are steady");
  expect(gradientText(clipped(null))).toBe("the gradients are steady");
});
