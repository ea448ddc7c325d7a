import { expect, test } from "vitest";
import { partsOf } from "@/features/files/components/rows";
import { factsOf, warningsOf } from "@/features/files/components/statistics";
import { languageInWords } from "@/features/files/components/verdict";
import type { Schema } from "@/lib/api";

test("reads the parts in view, and the one of the selected row", () => {
  expect(partsOf(0, 14, 3)).toEqual([0]);
  expect(partsOf(14, 41, 30)).toEqual([0, 1, 2]);
  expect(partsOf(14, 40, 999_999)).toEqual([0, 1, 49_999]);
  expect(partsOf(0, 0, 0)).toEqual([0]);
});

const FOUND: Schema<"FileStatistics"> = {
  object: "file.statistics",
  file_id: "file-1",
  model: "tiny",
  rows: 4_000,
  sampled: 2_000,
  max_length: 2048,
  template: "model",
  tokens: { prompt: null, chosen: null, rejected: null, sequence: null },
  cut: {
    longer: 41,
    trained: 38,
    lines: [3, 1_007],
    message: "41 of 2000 sampled pairs are longer.",
    repairs: [
      { max_length: 3_000, longer: 0 },
      { max_length: 2_500, longer: 20 },
    ],
  },
  dropped: { prompt_too_long: 3 },
  left_out: [
    {
      code: "prompt_too_long",
      pairs: 3,
      lines: [8, 9, 10],
      message: "No room.",
      hint: "Raise it.",
    },
  ],
  turns: [{ turns: 2, pairs: 2_000 }],
  roles: { user: 2_000, system: 310 },
  saved_by_sharing: 0.184,
  job: null,
};

test("says what is cut and left out, with its share of the sample", () => {
  const facts = new Map(factsOf(FOUND));
  expect(facts.get("Longer than 2,048 tokens")).toBe("41 (2.1%)");
  expect(facts.get("Trained, but cut")).toBe("38 (1.9%)");
  expect(facts.get("Left out: prompt too long")).toBe("3 (0.1%)");
  expect(facts.get("Turns")).toBe("2 in 2,000");
  expect(facts.get("Saved by computing prompts once")).toBe("18% of tokens");
  expect(facts.has("A job on the file")).toBe(false);
});

test("names the lines that are cut or left out, and what helps", () => {
  expect(warningsOf(FOUND)).toEqual([
    "41 of 2000 sampled pairs are longer. Cut: lines 3, 1,007…. With max_length 3,000, none is " +
      "longer. With max_length 2,500, 20 are longer.",
    "Left out, prompt too long: lines 8, 9, 10. No room. Raise it.",
  ]);
  const cut = { longer: 0, trained: 0, lines: [], message: null, repairs: [] };
  expect(warningsOf({ ...FOUND, cut, left_out: [] })).toEqual([]);
});

test("names languages, and what was not recognised", () => {
  expect(languageInWords("de")).toBe("German");
  expect(languageInWords("unknown")).toBe("not recognised");
  expect(languageInWords("!")).toBe("!");
});
