import { expect, test } from "vitest";
import { ADDABLE, stepInWords } from "@/features/files/steps";

const added = (label: string, text: string) =>
  ADDABLE.find((each) => each.label.startsWith(label))?.step(text);

test("what is typed becomes a step, or nothing", () => {
  expect(added("Draw", "12")).toEqual({ step: "sample", n: 12, seed: 0 });
  expect(added("Draw", "0")).toBeNull();
  expect(added("Drop lines", "3, 8 9")).toEqual({ step: "drop_rows", lines: [3, 8, 9] });
  expect(added("Swap", "3, x")).toBeNull();
  expect(added("Hold out", "10 %")).toEqual({ step: "split", held_out: 0.1, seed: 0 });
  expect(added("Hold out", "100")).toBeNull();
  expect(added("Hold out", "")).toBeNull();
  expect(added("Keep answers", "en, de")).toMatchObject({ languages: ["en", "de"] });
  expect(added("Keep answers", "English")).toBeNull();
  expect(added("Set the system", "")).toEqual({ step: "map", action: "system" });
  expect(added("Set the system", "Be brief.")).toMatchObject({ text: "Be brief." });
});

test("steps are said in words", () => {
  expect(stepInWords({ step: "deduplicate", finding: "near_duplicate" })).toContain("keep one of");
  expect(stepInWords({ step: "split", held_out: 0.1, part: "held_out", seed: 0 })).toBe(
    "keep only 10 % of the prompts",
  );
  expect(stepInWords({ step: "map", action: "system" })).toBe("remove the system prompt");
  expect(stepInWords({ step: "repair", finding: "mojibake" })).toContain("broken encoding");
  expect(stepInWords({ step: "swap", lines: [2, 4] })).toBe("swap the answers of lines 2, 4");
});
