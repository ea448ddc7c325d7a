import { expect, test } from "vitest";
import type { Verdict } from "@/features/jobs/run/verdict";
import { effectSaid, healthSaid } from "@/features/jobs/run/verdict-words";

const verdict = (fields: Partial<Verdict>): Verdict => ({
  findings: [],
  early: false,
  clipped: null,
  effect: null,
  worse: null,
  ...fields,
});
const ended = { ended: true, hasAnswers: true };

test("a healthy run says what was looked at", () => {
  const said = healthSaid(verdict({}), ended);
  expect([said.answer, said.tone]).toEqual(["Healthy", "good"]);
  expect(said.text).toBe(
    "Every number is finite, the chosen answers did not sink, the gradients are steady, no overfit.",
  );
  const judge = healthSaid(verdict({}), { ended: false, hasAnswers: false });
  expect(judge.text).toBe("Every number is finite, the gradients are steady so far.");
});

test("each warning is said with its advice, also where the run is young", () => {
  const findings = ["NaN.", "Overfit."].map((title) => ({ code: title, title, advice: "Stop." }));
  const said = healthSaid(verdict({ findings, early: true }), ended);
  expect(said).toEqual({
    answer: "2 warnings",
    tone: "bad",
    strong: "NaN. Overfit.",
    text: "Stop. Stop.",
  });
  expect(healthSaid(verdict({ early: true }), ended)).toMatchObject({
    answer: "Too early to say",
    tone: null,
  });
});

test("the effect has its interval, and its reading decides on the mark", () => {
  const accuracy = { before: 0.5, after: 0.8, low: 0.7, high: 0.9 };
  const margin = { name: "Log odds ratio", before: 0.1, after: 0.4 };
  const effect = { accuracy, margin, reading: "helped" as const, heldOut: 100 };
  expect(effectSaid(verdict({ effect }))).toEqual({
    answer: "Accuracy 50% → 80% (70% to 90%) of 100 held-out pairs",
    tone: "good",
    strong: null,
    text: "Log odds ratio +0.10 → +0.40. It helped: the intervals before and after do not overlap.",
  });
  const hurt = effectSaid(verdict({ effect: { ...effect, reading: "hurt", heldOut: 9 } }));
  expect(hurt.tone).toBe("bad");
  expect(hurt.strong).toContain("9 held-out pairs are few");
  expect(effectSaid(verdict({})).answer).toBe("Not measured yet");
});
