import { expect, test } from "vitest";
import { chartsOf } from "@/features/jobs/run/charts";

const line = (...values: number[]) => values.map((y, x) => ({ x, y, low: y, high: y }));

test("a reward model has charts of rewards, and none of log-probs", () => {
  const charts = chartsOf(
    {
      "train:loss/preference": line(0.7, 0.2),
      "train:reward/chosen": line(0, 2),
      "train:reward/rejected": line(0, -1),
      "train:reward/margin": line(0, 3),
      "held_out:reward/margin": line(0, 2),
      "held_out:margin/p50": line(0, 2),
    },
    "reward",
    { center: 0 },
    12,
  );
  expect(charts.map(({ id }) => id)).toEqual(["rewards", "reward-margin", "anatomy", "margins"]);
  const about = Object.fromEntries(charts.map((chart) => [chart.id, chart.about]));
  expect(about.anatomy).toContain("Loss = L_BT");
  expect(about.anatomy).not.toContain("NLL");
  expect(about.margins).toContain("reward margin spreads over the 12 held-out pairs");
});
