import { expect, test } from "vitest";
import {
  cellsOf,
  columnsOf,
  matching,
  namesOf,
  problemOf,
  underOwnNames,
} from "@/features/files/column-draft";

test("sends the columns that were named, trimmed, and none otherwise", () => {
  expect(columnsOf({ prompt: " question ", chosen: "", rejected: "  " })).toEqual({
    prompt: "question",
  });
  expect(columnsOf({ prompt: "", chosen: "" })).toBeNull();
  const sorted = columnsOf({ system: "s", chosen: "c", prompt: "p" });
  expect(Object.keys(sorted ?? {})).toEqual(["prompt", "chosen", "system"]);
});

test("a column that two fields name is refused before it is sent", () => {
  expect(problemOf({ prompt: "best", chosen: "best " })).toMatch(/column best/);
  expect(problemOf({ prompt: "", chosen: "" })).toBeNull();
});

test("reads the columns of a row, also of one that is cut off", () => {
  const row = { question: 'Why "so"?', best: { a: [1, "}"] }, "wor,st": "a\nb", n: null };
  const text = JSON.stringify(row);
  const cells = cellsOf(text);
  expect(cells && [...cells]).toEqual([
    ["question", 'Why "so"?'],
    ["best", '{"a":[1,"}"]}'],
    ["wor,st", "a\nb"],
    ["n", "null"],
  ]);
  for (let end = 1; end < text.length; end += 1) {
    const cut = cellsOf(text.slice(0, end));
    for (const name of cut?.keys() ?? []) expect(Object.keys(row)).toContain(name);
  }
  expect(cellsOf('{"q": "a\\u00')?.get("q")).toBe("a");
  expect(cellsOf("[1, 2]")).toBeNull();
  expect(cellsOf("prompt,chosen")).toBeNull();
});

test("a table that was read with a mapping is shown under its own names again", () => {
  const shown = new Map([
    ["prompt", "Why?"],
    ["chosen (not mapped)", "x"],
    ["best", "Yes."],
  ]);
  const own = underOwnNames(shown, { prompt: "question", chosen: "best" });
  expect([...own.keys()]).toEqual(["question", "chosen", "best"]);
});

test("counts the rows that have all columns of a mapping", () => {
  const rows = [
    new Map([
      ["q", "1"],
      ["a", "2"],
    ]),
    new Map([["q", "3"]]),
  ];
  expect(namesOf(rows)).toEqual(["q", "a"]);
  expect(matching(rows, { prompt: "q" })).toBe(2);
  expect(matching(rows, { prompt: "q", chosen: "a" })).toBe(1);
  expect(matching(rows, { prompt: "Q" })).toBe(0);
});
