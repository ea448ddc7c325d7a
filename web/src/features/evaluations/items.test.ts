import { expect, test } from "vitest";
import {
  askAgain,
  categoriesOf,
  changeText,
  checksOf,
  judgmentText,
  labelText,
  lengthText,
  movementOf,
  namingOf,
  placesOf,
  questionOf,
  similaritiesOf,
} from "@/features/evaluations/items";
import type { Evaluation, Item } from "@/features/evaluations/objects";

test("an item moved by the sign of its change", () => {
  expect([-1, 0, 0.5, null].map((change) => movementOf({ change }))).toEqual([
    "worse",
    "tied",
    "better",
    "unknown",
  ]);
  expect([-1, 0, null].map(changeText)).toEqual(["−1.00", "", ""]);
});

test("the question is the last message of the last turn", () => {
  const said = (content: string) => ({ role: "user" as const, content });
  expect(questionOf({ line: 3, turns: [[said("a")], [said("b"), said("c")]] })).toBe("c");
  expect(questionOf({ line: 3, turns: [] })).toBe("Line 3");
});

test("an answer says whether it was cut off", () => {
  const answer = { text: "", thought: null, finish_reason: "length", completion_tokens: 512 };
  expect(lengthText(answer)).toBe("cut off after 512 tokens");
  expect(lengthText({ ...answer, finish_reason: "stop", completion_tokens: 1 })).toBe("1 token");
  expect(lengthText({ ...answer, completion_tokens: null })).toBe("cut off");
});

const reference = {
  instruction_id_list: ["length_constraints:number_words", "keywords:existence"],
  kwargs: [{ relation: "at least", num_words: 300, other: null }, { keywords: ["sea", "wind"] }],
};

test("IFEval's checks name each instruction, its arguments and who follows it", () => {
  const result = {
    model: { strict: [true, false], loose: [true, true] },
    baseline: { strict: [false, false], loose: [false, false] },
  };
  expect(checksOf({ reference, result })).toEqual([
    {
      kind: "length_constraints:number_words",
      given: "relation: at least, num words: 300",
      model: { strict: true, loose: true },
      baseline: { strict: false, loose: false },
    },
    {
      kind: "keywords:existence",
      given: "keywords: sea, wind",
      model: { strict: false, loose: true },
      baseline: { strict: false, loose: false },
    },
  ]);
});

test("an item without a baseline, without a result or of another suite", () => {
  const result = { strict: [true, true], loose: [true, true] };
  expect(checksOf({ reference, result }).map(({ baseline }) => baseline)).toEqual([null, null]);
  expect(checksOf({ reference, result: null }).map(({ model }) => model)).toEqual([null, null]);
  expect(checksOf({ reference: { kwargs: 3 }, result: { verdict: 1 } })).toEqual([]);
});

const evaluation = (change: object) =>
  ({
    suite: { name: "ifeval" },
    model: { model: "tuned", base_url: null },
    baseline: { model: "base", base_url: null },
    scores: [],
    ...change,
  }) as unknown as Evaluation;

test("answers are named by who gave them", () => {
  const { ours, theirs } = namingOf(evaluation({}));
  expect([ours, theirs]).toEqual(["tuned", "base"]);
  expect(namingOf(evaluation({ baseline: null })).theirs).toBe("The answer in the file");
  const labelled = namingOf(evaluation({ suite: { name: "agreement" }, baseline: null }));
  expect(labelled.ours).toBe("First answer");
  expect(labelled.movements.worse.word).toBe("the judge and people differ");
  expect(labelled.filters).not.toHaveProperty("improved");
});

test("people's labels in words", () => {
  const said = [1, 0, 0.5, undefined].map((label) => labelText({ reference: { label } }));
  expect(said).toEqual([
    "People prefer the first answer.",
    "People prefer the second answer.",
    "People find both answers equal.",
    null,
  ]);
});

test("a question is asked again where a vote can be given, if both models are ours", () => {
  const sides = {
    model: { model: "tuned", kind: "model" },
    baseline: { model: "base", kind: "model" },
  };
  const asked = (change: object, ...turns: { role: string; content: string }[][]) =>
    askAgain({ ...sides, ...change } as Evaluation, { turns } as Pick<Item, "turns">);
  const said = (content: string, role = "user") => ({ role, content });
  expect(asked({}, [said("Why?")])).toEqual({ a: "base", b: "tuned", ask: "Why?" });
  expect(asked({ baseline: null }, [said("Why?")])).toBeNull();
  expect(asked({ baseline: { model: "x", kind: "endpoint" } }, [said("Why?")])).toBeNull();
  expect(asked({}, [said("Be brief.", "system"), said("Why?")])).toBeNull();
  expect(asked({}, [said("Why?")], [said("And then?")])).toBeNull();
  expect(asked({}, [said("x".repeat(2_001))])).toBeNull();
  expect(asked({})).toBeNull();
});

test("only categories of items are offered as a filter", () => {
  const score = (metric: string, category: string | null) => ({ metric, category });
  const scores = [
    score("prompt_strict", null),
    score("instruction_strict", "keywords:existence"),
    score("prompt_strict", "writing"),
    score("prompt_strict", "random officially"),
  ];
  expect(categoriesOf(evaluation({ scores }))).toEqual(["writing"]);
});

test("a verdict is about the answer that was shown first", () => {
  const sides = { ours: "tuned", theirs: "base" };
  const said = (value: number | null, order: "model_first" | "baseline_first" | null) =>
    judgmentText({ value, order, side: null }, sides);
  expect(said(1, "model_first")).toBe("prefers tuned");
  expect(said(1, "baseline_first")).toBe("prefers base");
  expect(said(0, "baseline_first")).toBe("prefers tuned");
  expect(said(0.25, "model_first")).toBe("prefers base (0.75)");
  expect(said(0.5, "model_first")).toBe("calls it a draw");
  expect(said(null, "model_first")).toBe("no verdict");
  const rated = { value: 8.5, order: null };
  expect(judgmentText({ ...rated, side: "model" }, sides)).toBe("gives tuned 8.5");
  expect(judgmentText({ ...rated, side: "baseline" }, sides)).toBe("gives base 8.5");
});

test("each turn has the answers of all samples", () => {
  const answers = (count: number) => Array.from({ length: count }, () => null);
  const turns = (count: number) => Array.from({ length: count }, () => []);
  const of = (turn: number, of_turns: number, ours: number, theirs = 0) =>
    placesOf(
      { turns: turns(of_turns), answers: answers(ours), baseline_answers: answers(theirs) },
      turn,
    );
  expect(of(0, 1, 3)).toEqual([0, 1, 2]);
  expect(of(1, 2, 4)).toEqual([1, 3]);
  expect(of(1, 2, 2, 2)).toEqual([1]);
  expect(of(0, 1, 1, 3)).toEqual([0, 1, 2]);
  expect(of(1, 2, 0)).toEqual([1]);
});

test("similarities are named by side, and other suites have none", () => {
  const result = { per_input: 0.8, to_others: 0.2, baseline: { per_input: 0.5 } };
  expect(similaritiesOf({ result })).toEqual([
    { name: "Of the samples", model: 0.8, baseline: 0.5 },
    { name: "Of the first sample to those of other prompts", model: 0.2, baseline: null },
  ]);
  expect(similaritiesOf({ result: { win_rate: 1 } })).toEqual([]);
  expect(similaritiesOf({ result: null })).toEqual([]);
});

test("an item of the suite diversity is more or less diverse", () => {
  const evaluation = {
    suite: { name: "diversity" },
    model: { model: "a", base_url: null },
    baseline: { model: "b", base_url: null },
  } as Evaluation;
  const { movements, filters } = namingOf(evaluation);
  expect([movements.worse.word, filters.regressed]).toEqual(["less diverse", "Less diverse"]);
  expect(filters.improved).toBe("More diverse");
});
