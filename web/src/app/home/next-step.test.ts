import { describe, expect, test } from "vitest";
import { type File, type Known, nextStep } from "@/app/home/next-step";
import type { Job } from "@/features/jobs/api";

const NOTHING: Known["steps"] = {
  object: "first_steps",
  pairs: false,
  run: false,
  question: false,
  vote: false,
  new_votes: 0,
  enough_votes: 20,
};
const ALL = { ...NOTHING, pairs: true, run: true, question: true, vote: true };

const file = (id: string, status = "processed", accepted = 8) =>
  ({ id, filename: `${id}.jsonl`, status, accepted }) as File;
const job = (fields: Partial<Job>) =>
  ({
    id: "ftjob-1",
    name: "first",
    model: "base",
    fine_tuned_model: null,
    status: "running",
    training_file: "pairs",
    method: { type: "orpo" },
    ...fields,
  }) as Job;
const done = job({ status: "succeeded", fine_tuned_model: "ft:base" });
const served = { model: "ft:base", status: "ready" as const };

const step = (steps: Partial<Known["steps"]>, known: Partial<Omit<Known, "steps">> = {}) =>
  nextStep({
    steps: { ...NOTHING, ...steps },
    files: [],
    jobs: [],
    deployments: [],
    ...known,
  });

describe("before a model is there", () => {
  test("a new installation starts with a file", () => {
    expect(step({}).place).toEqual({ to: "/files" });
  });

  test("a file that is checked, and one without a usable row, have a report", () => {
    const report = { to: "/files/$fileId", params: { fileId: "a" } };
    expect(step({}, { files: [file("a", "uploaded", 0)] })).toMatchObject({
      label: "Look at its report",
      place: report,
    });
    expect(step({}, { files: [file("a", "processed", 0)] })).toMatchObject({
      label: "See why",
      place: report,
    });
  });

  test("a usable file is trained on, and not a later one that failed its check", () => {
    const files = [file("broken", "error", 0), file("pairs")];
    expect(step({ pairs: true }, { files }).place).toEqual({
      to: "/jobs/new",
      search: { file: "pairs" },
    });
  });

  test.each([
    ["running", "Follow it"],
    ["queued", "Follow it"],
    ["failed", "See why"],
    ["paused", "Go to the run"],
  ])("a run that is %s: %s", (status, label) => {
    const jobs = [job({ status })];
    expect(step({ pairs: true }, { jobs, files: [file("pairs")] })).toMatchObject({
      label,
      place: { to: "/jobs/$jobId", params: { jobId: "ftjob-1" } },
    });
  });

  test("after a run that was cancelled, the file is trained on again", () => {
    const known = { jobs: [job({ status: "cancelled" })], files: [file("pairs")] };
    expect(step({ pairs: true }, known).label).toBe("Train on it");
  });
});

describe("once a model is there", () => {
  const asked = { to: "/playground", search: { a: "base", b: "ft:base", job: "ftjob-1" } };
  const known = { jobs: [done], files: [file("pairs")], deployments: [served] };

  test("it is asked, deployed first if it is not served", () => {
    const undeployed = step({ ...ALL, question: false }, { ...known, deployments: [] });
    expect(undeployed.says).toContain("deploy its model");
    expect(undeployed.place).toEqual(asked);
    const ready = step({ pairs: true, run: true }, known);
    expect(ready.says).toContain("is served");
    expect(ready.place).toEqual(asked);
  });

  test("a model that could not be served leads to the reason", () => {
    const deployments = [{ model: "ft:base", status: "failed" as const }];
    expect(step(ALL, { ...known, deployments }).place).toEqual({ to: "/deployments" });
  });

  test("a reward model is not asked", () => {
    const judge = job({ ...done, id: "ftjob-2", method: { type: "reward" } });
    expect(step(ALL, { ...known, jobs: [judge] }).place.to).toBe("/jobs/new");
  });

  test("a question without a vote is voted on", () => {
    expect(step({ ...ALL, vote: false }, known)).toMatchObject({
      label: "Vote on an answer",
      place: asked,
    });
  });

  test("enough new votes become a file, too few are added to", () => {
    expect(step({ ...ALL, new_votes: 20 }, known).place).toEqual({
      to: "/votes",
      search: { make: "file" },
    });
    expect(step({ ...ALL, new_votes: 15 }, known).says).toContain("5 more votes");
  });

  test("a file that no run has used is trained on", () => {
    const files = [file("of-votes"), file("pairs")];
    expect(step(ALL, { ...known, files }).place).toEqual({
      to: "/jobs/new",
      search: { file: "of-votes" },
    });
  });

  test("a file that a run holds out is not trained on", () => {
    const jobs = [{ ...done, validation_file: "held-out" }];
    const files = [file("held-out"), file("pairs")];
    expect(step(ALL, { ...known, jobs, files }).place).toEqual({
      to: "/jobs/new",
      search: { from: "ftjob-1" },
    });
  });

  test("with everything done, another run is compared", () => {
    expect(step(ALL, known).place).toEqual({ to: "/jobs/new", search: { from: "ftjob-1" } });
  });
});
