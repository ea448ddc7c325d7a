import { expect, test } from "vitest";
import type { Estimate, Evaluation, Score } from "@/features/evaluations/objects";
import {
  byCategory,
  comparedInWords,
  differenceInterval,
  differenceReading,
  differenceText,
  directionOf,
  headlineOf,
  headlineReading,
  intervalText,
  metricOf,
  notesOf,
  overall,
  phaseOf,
  readingOf,
  readingText,
  valueText,
} from "@/features/evaluations/words";

const estimate = (value: number, low: number | null, high: number | null, n = 100): Estimate => ({
  value,
  low,
  high,
  n,
});

test("a difference is more than chance only if its whole interval is on one side", () => {
  expect(readingOf(estimate(0.1, 0.01, 0.2))).toBe("better");
  expect(readingOf(estimate(-0.1, -0.2, -0.01))).toBe("worse");
  expect(readingOf(estimate(0.1, 0, 0.2))).toBe("unsure");
  expect(readingOf(estimate(-0.1, -0.2, 0.05))).toBe("unsure");
  expect(readingOf(estimate(1, null, null, 1))).toBe("too_few");
});

test("a win rate is compared with one half", () => {
  const won = (low: number, high: number): Score => ({
    metric: "win_rate",
    category: null,
    model: estimate(0.5, low, high),
    baseline: null,
    difference: null,
  });
  expect(headlineReading(won(0.51, 0.7))).toBe("better");
  expect(headlineReading(won(0.4, 0.6))).toBe("unsure");
  expect(headlineReading(won(0.2, 0.49))).toBe("worse");
});

test("shares are percent and their differences points; other numbers stay numbers", () => {
  expect(valueText("prompt_strict", 0.4213)).toBe("42.1%");
  expect(intervalText("prompt_strict", estimate(0.4, 0.351, 0.449))).toBe("35.1% to 44.9%");
  expect(differenceText("prompt_strict", -0.031)).toBe("−3.1 points");
  expect(differenceInterval("win_rate", estimate(0, -0.01, 0.02))).toBe("−1.0 to +2.0");
  expect(valueText("reward", -1.25)).toBe("−1.25");
  expect(differenceText("reward", 0.5)).toBe("+0.50");
  expect(intervalText("reward", estimate(1, null, null, 1))).toBeNull();
  expect(metricOf("a_new_one").title).toBe("A new one");
});

test("the headline is the first score over all prompts, or the win rate", () => {
  const score = (category: string | null, model: Estimate | null): Score => ({
    metric: "prompt_strict",
    category,
    model,
    baseline: null,
    difference: null,
  });
  const of = score(null, estimate(0.4, 0.3, 0.5));
  const scores = [score("keywords", estimate(1, 1, 1)), score(null, null), of];
  expect(headlineOf({ scores, preference: null })).toEqual(of);
  expect(headlineOf({ scores: [], preference: null })).toBeNull();
  const win_rate = estimate(0.6, 0.5, 0.7);
  const preference = { win_rate } as Evaluation["preference"];
  expect(headlineOf({ scores: [], preference })?.model).toBe(win_rate);
});

test("of a win rate, only the model's side is shown", () => {
  const [half, sides] = [estimate(0.5, 0.4, 0.6), estimate(0.4, 0.3, 0.5)];
  const scores: Score[] = [
    { metric: "win_rate", category: null, model: sides, baseline: half, difference: half },
    { metric: "reward", category: "a", model: sides, baseline: half, difference: half },
  ];
  expect(overall(scores)).toEqual([{ ...scores[0], baseline: null, difference: null }]);
  expect(byCategory(scores)).toEqual([scores[1]]);
});

const COUNTS: Evaluation["counts"] = {
  of: 541,
  prompts: 20,
  answered: 20,
  judged: 0,
  cut_off: 0,
  unparsed: 0,
  failed: 0,
  empty: 0,
  repeated: 0,
};
const base = {
  suite: { name: "ifeval", title: "IFEval", data: "file-1", sha256: null },
  judges_itself: null,
  excluded: [],
  diversity: null,
  counts: COUNTS,
  is_subset: false,
  is_incomplete: false,
  seed: 3,
  status: "succeeded",
};

test("what is missing is said, and nothing where nothing is", () => {
  expect(notesOf(base)).toEqual([]);
  const texts = notesOf({
    ...base,
    is_subset: true,
    is_incomplete: true,
    counts: { ...COUNTS, answered: 12, cut_off: 1, unparsed: 2, failed: 8, repeated: 1 },
  }).map(({ text }) => text);
  expect(texts).toEqual([
    "A subset: 20 of 541 prompts, drawn with seed 3.",
    "Incomplete: 12 of 20 prompts were answered, under 95%.",
    "1 answer was cut off at max_tokens: raise it, or read their scores with care.",
    "2 replies of the judge had no verdict and count nowhere.",
    "8 answers and judgments are missing: the items say why.",
    "1 row repeats another's prompt: left out.",
  ]);
});

test("of a judge's agreement with people, pairs that were judged count; a judge of itself is named", () => {
  const suite = { ...base.suite, name: "agreement" };
  const counts = { ...COUNTS, judged: 12 };
  const texts = notesOf({ ...base, suite, counts, is_incomplete: true, judges_itself: "model" });
  expect(texts.map(({ text }) => text)).toEqual([
    "Incomplete: 12 of 20 pairs were judged, under 95%.",
    "The judge is the model itself: models prefer their own answers.",
  ]);
});

test("of held-out pairs it is said that they are few, and which were left out and why", () => {
  const suite = { ...base.suite, name: "held_out" };
  const counts = { ...COUNTS, of: 20, answered: 18 };
  const excluded = [{ reason: "prompt_too_long", pairs: 2, line: 7, message: "No room." }];
  const evaluation = { ...base, suite, counts, excluded, is_incomplete: true };
  expect(notesOf(evaluation).map(({ text }) => text)).toEqual([
    "Few pairs: 18 pairs were measured. Below 30, the intervals are too narrow.",
    "Incomplete: 18 of 20 pairs were measured, under 95%.",
    "2 pairs left out (prompt_too_long). Line 7: No room.",
  ]);
  const many = { ...base, suite, counts: { ...counts, prompts: 60, answered: 60 } };
  expect(notesOf(many)).toEqual([]);
});

test("a running evaluation is not called incomplete", () => {
  const running = { ...base, status: "running", is_incomplete: true };
  expect(notesOf(running)).toEqual([]);
});

test("the phase is named, with its share and the time left", () => {
  expect(phaseOf({ status: "queued", progress: null }).says).toBe("Waiting for a free worker");
  expect(phaseOf({ status: "running", progress: null }).says).toBe("Reading the prompts");
  const answers = { phase: "answers" as const, done: 30, total: 120, eta_s: 90 };
  expect(phaseOf({ status: "running", progress: answers })).toEqual({
    share: 0.25,
    says: "Answers: 30 of 120, 1:30 min left",
  });
  const waiting = { phase: "waiting_for_models" as const, done: 0, total: 2, eta_s: null };
  expect(phaseOf({ status: "running", progress: waiting }).share).toBeNull();
});

test("an endpoint is named with its host", () => {
  const side = (model: string, base_url: string | null) =>
    ({ model, base_url }) as Evaluation["model"];
  const model = side("acme/tuned", null);
  expect(comparedInWords({ model, baseline: null })).toBe("acme/tuned");
  const baseline = side("gpt-x", "https://api.example:8443/v1");
  expect(comparedInWords({ model, baseline })).toBe("acme/tuned against gpt-x at api.example:8443");
});

test("less similar is more diverse, and so better", () => {
  const less = estimate(-0.1, -0.2, -0.01);
  expect(differenceReading("per_input", less)).toBe("better");
  expect(differenceReading("across_input", estimate(0.1, 0.01, 0.2))).toBe("worse");
  expect(differenceReading("per_input", estimate(0, -1, 1))).toBe("unsure");
  expect(differenceReading("reward", less)).toBe("worse");
  expect(readingText("per_input", "better")).toBe("more diverse, more than chance");
  expect(readingText("per_input", "worse")).toBe("less diverse, more than chance");
  expect(readingText("reward", "worse")).toBe("worse, more than chance");
  expect(["per_input", "reward", undefined].map(directionOf)).toEqual([-1, 1, 1]);
  expect(valueText("per_input", 0.4213)).toBe("0.42");
});

test("notes say what the embedder read, and that similarity is no quality", () => {
  const diversity = {
    embedder: "e",
    embedder_sha256: "0",
    max_tokens: 256,
    embedded: 90,
    truncated: 3,
  };
  const notes = notesOf({ ...base, diversity });
  expect(notes.map(({ isBad }) => isBad)).toEqual([true, false]);
  expect(notes[0]?.text).toBe(
    "Of 3 answers only the first 256 tokens were compared: the embedder reads no more.",
  );
  expect(notesOf({ ...base, diversity: { ...diversity, truncated: 0 } })).toHaveLength(1);
});

test("embedding is a phase that is counted", () => {
  const progress = { phase: "embeddings" as const, done: 5, total: 10, eta_s: null, retry: null };
  expect(phaseOf({ status: "running", progress })).toEqual({
    share: 0.5,
    says: "Comparing the answers: 5 of 10",
  });
});
