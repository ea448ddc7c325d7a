import { expect, test } from "vitest";
import { DEFAULTS, samplingOf } from "@/features/playground/sampling";

test("an empty field leaves it to the server", () => {
  expect(samplingOf({ ...DEFAULTS, top_p: " " })).toEqual({ temperature: 0, max_tokens: 512 });
});

test.each([
  { temperature: "2.1" },
  { temperature: "warm" },
  { top_p: "0" },
  { max_tokens: "1.5" },
  { max_tokens: "0" },
  { seed: "1e300" },
])("refuses %j", (wrong) => {
  expect(samplingOf({ ...DEFAULTS, ...wrong })).toBeNull();
});
