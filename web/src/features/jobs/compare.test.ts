import { expect, test } from "vitest";
import type { Job } from "@/features/jobs/api";
import { differences, finals, lookOf } from "@/features/jobs/compare";

const job = (id: string, hyperparameters: Record<string, unknown>) =>
  ({
    id,
    suffix: id,
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

test("ten runs have ten looks", () => {
  const looks = Array.from({ length: 10 }, (_, i) => JSON.stringify(lookOf(i)));
  expect(new Set(looks).size).toBe(10);
});
