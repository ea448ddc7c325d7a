/** Which columns of a file are read as which fields of a row: what was typed, and a try of it. */

export type Columns = Record<string, string>;

/** Fields that have a line of their own from the start. */
export const MAIN = ["prompt", "chosen", "rejected"] as const;
/** The other fields that a column may be read as. */
export const OTHERS = [
  "system",
  "messages",
  "conversations",
  "instruction",
  "input",
  "output",
  "history",
  "responses",
  "scores",
  "ranks",
  "completion",
  "response",
  "label",
  "rating",
  "rejected_response",
  "rejected_messages",
  "preferred_output",
  "non_preferred_output",
] as const;

/** The mapping that is sent, in the order of the fields; null if no column is named. */
export function columnsOf(draft: Columns): Columns | null {
  const named = [...MAIN, ...OTHERS]
    .map((field) => [field, draft[field]?.trim() ?? ""] as const)
    .filter(([, name]) => name !== "");
  return named.length > 0 ? Object.fromEntries(named) : null;
}

/** A sentence about a draft that would be refused; null if it would not be. */
export function problemOf(draft: Columns): string | null {
  const names = Object.values(columnsOf(draft) ?? {});
  const repeated = names.find((name, at) => names.indexOf(name) !== at);
  return repeated === undefined ? null : `Two fields name the column ${repeated}. Name it once.`;
}

/** A row as it is in the file: its columns, and what they hold as text. */
export type Cells = Map<string, string>;

/** A key and its colon in JSON, after the opening brace or a comma. */
const KEY = /\s*[{,]?\s*("(?:[^"\\]|\\.)*")\s*:\s*/y;

/**
 * The columns of a row in JSON, also where the text is cut off in the middle; null if it is not an
 * object.
 */
export function cellsOf(text: string): Cells | null {
  if (!/^\s*\{/.test(text)) return null;
  const cells: Cells = new Map();
  KEY.lastIndex = 0;
  for (let key = KEY.exec(text); key; key = KEY.exec(text)) {
    const end = endOfValue(text, KEY.lastIndex);
    cells.set(spelled(key[1] ?? ""), spelled(text.slice(KEY.lastIndex, end)));
    KEY.lastIndex = end;
  }
  return cells;
}

/** Where a value of JSON ends that begins at `start`. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const char = text[at];
    if (char === '"') at = endOfString(text, at);
    else if (char === "{" || char === "[") depth += 1;
    else if (depth === 0 && (char === "," || char === "}")) return at;
    else if (char === "}" || char === "]") depth -= 1;
  }
  return text.length;
}

/** The position of the quote that closes the string which opens at `start`. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === '"') return at;
  }
  return text.length;
}

/** What a string of JSON spells, also one that is cut off; other values as they stand. */
function spelled(raw: string): string {
  const value = raw.trim();
  if (!value.startsWith('"')) return value;
  for (const whole of [value, `${value}"`, `${value.replace(/\\[^\\]{0,5}$/, "")}"`]) {
    try {
      return JSON.parse(whole);
    } catch {
      // Cut off; the next one closes it.
    }
  }
  return value;
}

/**
 * A row under the names of the file. Of a table that was read with a mapping, the server shows the
 * fields of the mapping.
 */
export function underOwnNames(cells: Cells, columns: Columns | null): Cells {
  const names = [...cells].map(([key, value]) => {
    const name = columns?.[key];
    return [name && !cells.has(name) ? name : key.replace(/ \(not mapped\)$/, ""), value] as const;
  });
  return new Map(names);
}

/** The names of all columns of some rows, in the order in which they appear. */
export const namesOf = (rows: readonly Cells[]) => [
  ...new Set(rows.flatMap((cells) => [...cells.keys()])),
];

/** How many of the rows have all columns of a mapping. */
export function matching(rows: readonly Cells[], columns: Columns): number {
  const names = Object.values(columns);
  return rows.filter((cells) => names.every((name) => cells.has(name))).length;
}
