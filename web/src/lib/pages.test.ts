import { describe, expect, test } from "vitest";
import { readAll } from "@/lib/pages";

/** A list whose pages end after two items, whatever was asked for. */
function list(items: string[]) {
  const asked: (string | undefined)[] = [];
  const read = async (after?: string) => {
    asked.push(after);
    const start = after === undefined ? 0 : items.indexOf(after) + 1;
    const data = items.slice(start, start + 2);
    return { data, has_more: start + 2 < items.length, last_id: data.at(-1) ?? null };
  };
  return { asked, read };
}

describe("a list whose pages end early", () => {
  test("is read to its end, each item once", async () => {
    const { asked, read } = list(["a", "b", "c", "d", "e"]);
    expect(await readAll(read)).toEqual({ data: ["a", "b", "c", "d", "e"], has_more: false });
    expect(asked).toEqual([undefined, "b", "d"]);
  });

  test("is read as far as is wanted, and says that there are more", async () => {
    const { asked, read } = list(["a", "b", "c", "d", "e"]);
    expect(await readAll(read, 3)).toEqual({ data: ["a", "b", "c"], has_more: true });
    expect(asked).toEqual([undefined, "b"]);
  });

  test("may be empty", async () => {
    expect(await readAll(list([]).read)).toEqual({ data: [], has_more: false });
  });
});
