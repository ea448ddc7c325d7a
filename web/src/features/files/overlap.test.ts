import { expect, test } from "vitest";
import {
  comparable,
  hasMarks,
  hasMoreLines,
  holdsInWords,
  linesOf,
  listed,
  sentenceOf,
} from "@/features/files/overlap";
import type { Schema } from "@/lib/api";

const file = (change: Partial<Schema<"FileObject">>): Schema<"FileObject"> => ({
  id: "file-1",
  object: "file",
  filename: "pairs.jsonl",
  purpose: "fine-tune",
  bytes: 10,
  created_at: 1,
  expires_at: null,
  shapes: null,
  sha256: "",
  parents: [],
  status: "processed",
  status_details: null,
  rows: 2,
  accepted: 2,
  ...change,
});

test("other files with pairs or with rows alone can be compared", () => {
  const files = [
    file({}),
    file({ id: "prompts", status: "error", accepted: 0 }),
    file({ id: "broken", status: "error", accepted: 0, rows: 0 }),
    file({ id: "unread", status: "error", accepted: null, rows: null }),
    file({ id: "new", status: "uploaded", accepted: null, rows: null }),
    file({ id: "pairs" }),
  ];
  expect(comparable(files, "file-1").map(({ id }) => id)).toEqual(["prompts", "pairs"]);
  expect(holdsInWords({ accepted: 1_200, rows: 1_300 })).toBe("1,200 pairs");
  expect(holdsInWords({ accepted: 0, rows: 541 })).toBe("541 rows without a pair");
});

test("a chosen file stays in the list, whatever is sought", () => {
  const files = [file({ id: "a", filename: "IFEval.jsonl" }), file({ id: "b" }), file({ id: "c" })];
  const ids = (text: string, ...chosen: string[]) =>
    listed(files, text, new Set(chosen)).map(({ id }) => id);
  expect(ids("")).toEqual(["a", "b", "c"]);
  expect(ids(" ifeval")).toEqual(["a"]);
  expect(ids("ifeval", "c")).toEqual(["a", "c"]);
});

const rows = (count: number, ...lines: number[]) => ({ rows: count, share: count / 200, lines });

test("says how many rows overlap, and names their lines", () => {
  const found = { rows: 200, same: rows(1, 30), near: rows(3, 4, 9, 100) };
  expect(sentenceOf(found)).toBe(
    "Of 200 rows, 1 (0.5%) has the same prompt as a row of these files, and 3 (1.5%) nearly the " +
      "same one.",
  );
  expect(linesOf(found)).toEqual([4, 9, 30, 100]);
  expect(sentenceOf({ rows: 200, same: rows(0), near: rows(0) })).toBe(
    "None of its 200 rows overlaps with these files.",
  );
});

test("says when more rows overlap than are named", () => {
  const many = Array.from({ length: 10_000 }, (_, at) => at + 1);
  expect(hasMoreLines({ same: rows(10_000, ...many), near: rows(0) })).toBe(false);
  expect(hasMoreLines({ same: rows(0), near: rows(10_001, ...many) })).toBe(true);
  // Rows of an array may stand in one line.
  expect(hasMoreLines({ same: rows(5, 1), near: rows(0) })).toBe(false);
});

test("a mask is seen in either prompt of a pair", () => {
  const none = { rows: 0, share: 0, pairs: [] };
  const against = (prompt: string, against_prompt: string) => [
    {
      file_id: "f",
      filename: "f",
      prompts: 1,
      without_prompt: 0,
      same: none,
      near: {
        ...none,
        pairs: [{ line: 1, against_line: 1, similarity: 0.9, prompt, against_prompt }],
      },
    },
  ];
  expect(hasMarks({ against: against("Write to [email].", "Write.") })).toBe(true);
  expect(hasMarks({ against: against("Write.", "Call [phone_number].") })).toBe(true);
  expect(hasMarks({ against: against("Write to [name].", "Write.") })).toBe(false);
});
