import { describe, expect, it } from "vitest";
import { awaitsGates, type Job } from "@/features/jobs/api";
import { gatesOf, promotionText } from "@/features/jobs/run/gates";

const GATE = { suite: "ifeval", metric: "prompt_strict", at_least: "base - 0.02" };
const job = (fields: Partial<Job>) => ({ status: "running", gates: [GATE], ...fields }) as Job;

describe("the gates of a run", () => {
  it("wait for the training, then for their evaluation", () => {
    expect(gatesOf(job({}))[0]).toMatchObject({
      name: "ifeval prompt_strict",
      atLeast: "base - 0.02",
      outcome: "waiting",
      sentence: "The model is evaluated once it is trained.",
    });
    const evaluated = job({ status: "succeeded", gates: [{ ...GATE, evaluation: "eval-1" }] });
    expect(gatesOf(evaluated)[0]?.sentence).toContain("eval-1");
    expect([awaitsGates(evaluated), promotionText(evaluated)]).toEqual([true, "Not decided yet"]);
  });

  it("say why they are passed or not, also where nothing was measured", () => {
    const gates = [
      { ...GATE, passed: true, reason: "It is above." },
      { ...GATE, passed: null, reason: "It was cancelled." },
    ];
    const decided = job({ status: "succeeded", promotion: { promoted: false, gates } });
    expect(gatesOf(decided).map((gate) => [gate.outcome, gate.sentence])).toEqual([
      ["passed", "It is above."],
      ["failed", "It was cancelled."],
    ]);
    expect([awaitsGates(decided), promotionText(decided)]).toEqual([false, "Not promoted"]);
    const promoted = job({ status: "succeeded", promotion: { promoted: true, gates } });
    expect(promotionText(promoted)).toBe("Promoted");
  });

  it("are not evaluated if the run failed", () => {
    expect(promotionText(job({ status: "failed" }))).toBe("Not evaluated");
    expect(gatesOf(job({ status: "failed" }))[0]?.sentence).toContain("no model");
  });

  it("are absent from a run without any", () => {
    expect(gatesOf(job({ gates: [] }))).toEqual([]);
    expect(awaitsGates(job({ status: "succeeded", gates: [] }))).toBe(false);
  });
});
