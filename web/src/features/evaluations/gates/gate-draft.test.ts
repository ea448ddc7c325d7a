import { expect, test } from "vitest";
import { draftsOf, gateOf, isGateField, newGate } from "@/features/evaluations/gates/gate-draft";

test("a new gate has a threshold that its metric allows", () => {
  expect(newGate({ id: "ifeval", metrics: ["prompt_strict"] }).at_least).toBe("base - 0.02");
  expect(newGate({ id: "custom", metrics: ["win_rate"] }).at_least).toBe("0.5");
});

test("a number is sent as one, and what is no number as it was typed", () => {
  const draft = { ...newGate({ id: "custom", metrics: ["win_rate"] }), data: "file-1" };
  expect(gateOf(draft)).toEqual({
    suite: "custom",
    metric: "win_rate",
    data: "file-1",
    at_least: 0.5,
    judge: null,
    limit: null,
    seed: null,
    deploy: true,
  });
  const odd = gateOf({ ...draft, at_least: " base + 0.1 ", judge: "judge-1", limit: "some" });
  expect(odd).toMatchObject({ at_least: "base + 0.1", judge: "judge-1", limit: "some" });
});

test("the gates of an earlier run are filled in again", () => {
  const gate = {
    suite: "ifeval",
    metric: "prompt_strict",
    data: "file-1",
    at_least: 0.4,
    limit: 20,
    seed: 7,
  };
  const [draft] = draftsOf([{ ...gate, judge: null, evaluation: "eval-1" }]);
  expect(draft && gateOf(draft)).toEqual({ ...gate, judge: null, deploy: true });
});

test("an error stands at its gate's field, if the form has it", () => {
  const drafts = [newGate({ id: "ifeval", metrics: ["prompt_strict"] })];
  expect(isGateField("gates.0.at_least", drafts)).toBe(true);
  expect(isGateField("gates.1.at_least", drafts)).toBe(false);
  expect(isGateField("gates.0.baseline", drafts)).toBe(false);
  expect(isGateField("gates", drafts)).toBe(false);
});
