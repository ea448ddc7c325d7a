import { expect, test } from "vitest";
import type { Job } from "@/features/jobs/api";
import {
  type Compared,
  differences,
  finals,
  lookOf,
  sameHeldOut,
} from "@/features/jobs/compare/compare";

const job = (id: string, hyperparameters: Record<string, unknown>) =>
  ({
    id,
    name: id,
    model: "m",
    status: "succeeded",
    method: { type: "orpo" },
    training_file: "f",
    validation_file: null,
    seed: 0,
    started_at: 0,
    finished_at: null,
    hyperparameters,
  }) as unknown as Job;

test("only settings that differ are shown, one that a run lacks as a dash", () => {
  const jobs = [job("a", { lambda: 0.1, n_epochs: 1 }), job("b", { n_epochs: 1 })];
  expect(differences(jobs)).toEqual([{ name: "lambda", values: ["0.1", "–"] }]);
});

test("files that differ are shown by name, two of one name with the start of their ids", () => {
  const on = (training_file: string, validation_file: string | null) =>
    ({ ...job("a", {}), training_file, validation_file }) as Job;
  const names = new Map([
    ["file-1", "pairs.jsonl"],
    ["file-2", "other.jsonl"],
    ["file-3", "pairs.jsonl"],
  ]);
  expect(differences([on("file-1", null), on("file-2", "file-3")], names)).toEqual([
    { name: "Training file", values: ["pairs.jsonl", "other.jsonl"], ids: ["file-1", "file-2"] },
    {
      name: "Held-out pairs",
      values: ["of the training file", "pairs.jsonl"],
      ids: [null, "file-3"],
    },
  ]);
  expect(differences([on("file-1", null), on("file-3", null)], names)[0]?.values).toEqual([
    "pairs.jsonl 1",
    "pairs.jsonl 3",
  ]);
  expect(differences([on("file-1", null), on("file-1", null)], names)).toEqual([]);
});

test("the best run is marked, the lowest for a loss, none where two are equal", () => {
  const end = (accuracy: number, nll: number) => ({
    "held_out:accuracy": [{ x: 9, y: accuracy, low: accuracy, high: accuracy }],
    "held_out:loss/nll": [{ x: 9, y: nll, low: nll, high: nll }],
  });
  const rows = finals([
    { job: job("a", {}), series: end(0.9, 2) },
    { job: job("b", {}), series: end(0.9, 1) },
  ]);
  expect(rows.find((row) => row.name === "Accuracy")?.best).toBeUndefined();
  expect(rows.find((row) => row.name === "NLL")?.best).toBe(1);
});

test("no run is the best where others were measured, or where intervals overlap", () => {
  const end = (accuracy: number, low: number, high: number) => ({
    "held_out:accuracy": [{ x: 9, y: accuracy, low: accuracy, high: accuracy }],
    "held_out:accuracy/low": [{ x: 9, y: low, low, high: low }],
    "held_out:accuracy/high": [{ x: 9, y: high, low: high, high }],
  });
  const best = (runs: Compared[]) => finals(runs).find((row) => row.name === "Accuracy")?.best;
  const [far, near] = [end(0.5, 0.4, 0.6), end(0.9, 0.55, 0.95)];
  const clear = end(0.9, 0.8, 0.95);
  expect(
    best([
      { job: job("a", {}), series: far },
      { job: job("b", {}), series: clear },
    ]),
  ).toBe(1);
  expect(
    best([
      { job: job("a", {}), series: far },
      { job: job("b", {}), series: near },
    ]),
  ).toBeUndefined();
  const other = { ...job("b", {}), validation_file: "v" } as Job;
  expect(sameHeldOut([job("a", {}), other])).toBe(false);
  expect(
    best([
      { job: job("a", {}), series: far },
      { job: other, series: clear },
    ]),
  ).toBeUndefined();
});

test("ten runs have ten looks", () => {
  const looks = Array.from({ length: 10 }, (_, i) => JSON.stringify(lookOf(i)));
  expect(new Set(looks).size).toBe(10);
});

test("final numbers are counted, and stand beside the step at which they were measured", () => {
  const runs = [12, 80].map((step, i) => ({
    job: {
      ...job(String(i), {}),
      prepared: { held_out: { pairs: 20 + i } },
    } as Job,
    series: { "held_out:accuracy": [{ x: step, y: 0.5, low: 0.5, high: 0.5 }] },
  }));
  const values = (name: string) => finals(runs).find((row) => row.name === name)?.values;
  expect(values("Measured at step")).toEqual(["12", "80"]);
  expect(values("Held-out pairs")).toEqual(["20", "21"]);
});
