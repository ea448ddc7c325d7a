import { expect, test } from "vitest";
import { partsOf } from "@/features/files/components/rows";
import { factsOf } from "@/features/files/components/statistics";
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
  cut: { longer: 41, trained: 38 },
  dropped: { prompt_too_long: 3 },
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
  expect(facts.get("Pairs by turns")).toBe("2 turns: 2,000");
  expect(facts.get("Pairs by role")).toBe("user: 2,000, system: 310");
  expect(facts.get("Saved by computing prompts once")).toBe("18% of tokens");
  expect(facts.has("A job on the file")).toBe(false);
});

test("names languages, and what was not recognised", () => {
  expect(languageInWords("de")).toBe("German");
  expect(languageInWords("unknown")).toBe("not recognised");
  expect(languageInWords("zxx")).toBe("no language");
  expect(languageInWords("!")).toBe("!");
});
