import { expect, test } from "vitest";
import { beyond, join } from "@/features/jobs/series";

const at = (x: number) => ({ x, y: x, low: x, high: x });

test("history and stream meet without a gap or a double point", () => {
  const history = { "train:loss": [at(1), at(4)] };
  const streamed = { "train:loss": [at(3), at(4), at(5)], "train:lr": [at(5)] };
  expect(join(history, streamed, null)).toEqual({
    "train:loss": [at(1), at(4), at(5)],
    "train:lr": [at(5)],
  });
  expect(join(history, streamed, [0, 4])["train:loss"]).toEqual([at(1), at(4)]);
});

test("what a newer history holds is no longer kept from the stream", () => {
  const streamed = { "train:loss": [at(3), at(4), at(5)], "train:lr": [at(5)] };
  const kept = beyond({ "train:loss": [at(2), at(4)] }, streamed);
  expect(kept).toEqual({ "train:loss": [at(5)], "train:lr": [at(5)] });
  expect(kept["train:lr"]).toBe(streamed["train:lr"]);
});
