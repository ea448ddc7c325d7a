import { expect, it } from "vitest";
import { chartsOf } from "@/features/jobs/run/charts";
import { around } from "@/features/jobs/run/on-policy-charts";

const at = (x: number, y: number | null) => ({ x, y, low: null, high: null });

it("draws one standard deviation around a mean, and nothing where one of the two is missing", () => {
  const band = around([at(1, 2), at(2, 3), at(3, null)], [at(1, 0.5), at(3, 1)]);
  expect(band).toEqual([
    { x: 1, y: 2, low: 1.5, high: 2.5 },
    { x: 2, y: 3, low: null, high: null },
    { x: 3, y: null, low: null, high: null },
  ]);
});

it("shows a run on own answers by its rewards, not by the loss of pairs", () => {
  const series = {
    "train:reward/mean": [at(1, 2)],
    "train:kl": [at(1, 0)],
    "held_out:loss": [at(0, -2)],
    "train:share/update": [at(1, 0.5)],
  };
  const ids = chartsOf(series, "ppo", { kl_target: 6 }, null).map(({ id }) => id);
  expect(ids).toEqual(["reward", "kl", "time"]);
  const [, kl] = chartsOf(series, "ppo", { kl_target: 6 }, null);
  expect(kl?.levels).toEqual([{ y: 6, label: "target" }]);
});

it("shows none of its charts for other runs", () => {
  const ids = chartsOf({ "held_out:loss": [at(0, 2)] }, "orpo", {}, null).map(({ id }) => id);
  expect(ids).toEqual(["anatomy"]);
});
