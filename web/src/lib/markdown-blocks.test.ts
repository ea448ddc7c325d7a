import { expect, test } from "vitest";
import { BlockSplitter, LONGEST, plainPieces } from "@/lib/markdown-blocks";

const split = (text: string) => new BlockSplitter().split(text);
const long = (name: string) => `${name} ${"word ".repeat(80)}`.trim();

test("cuts at blank lines", () => {
  expect(split(`${long("one")}\n\n${long("two")}\n`)).toEqual([
    `${long("one")}\n\n`,
    `${long("two")}\n`,
  ]);
});

test("a blank line in a code fence is no boundary, and one after it is", () => {
  const code = `\`\`\`py\n${long("a = 1")}\n\n${long("b = 2")}\n\`\`\`\n\n`;
  expect(split(`${code}${long("after")}\n`)).toEqual([code, `${long("after")}\n`]);
});

test("a fence ends only at its own mark, at least as long", () => {
  const code = `~~~~\n${long("x")}\n\n~~~\n\n\`\`\`\`\n\n${long("y")}\n~~~~~\n\n`;
  expect(split(`${code}${long("after")}\n`)).toHaveLength(2);
  expect(split(`${code}${long("after")}\n`)[0]).toBe(code);
});

test("a fence within a list item keeps the list together", () => {
  const list = `1. ${long("do")}\n\n   \`\`\`sh\n   ls\n\n   \`\`\`\n\n2. ${long("then")}\n\n`;
  expect(split(`${list}${long("after")}\n`)).toEqual([list, `${long("after")}\n`]);
});

test("inline code at the start of a line opens no fence", () => {
  const text = `\`\`\`x\`\`\` ${long("one")}\n\n${long("two")}\n`;
  expect(split(text)).toHaveLength(2);
});

test("a text that arrives in pieces gives the blocks of the whole", () => {
  const whole = Array.from({ length: 40 }, (_, n) =>
    n % 3 === 0
      ? `\`\`\`\n${long("code")}\n\n${n}\n\`\`\`\n\n`
      : `${long(`p${n}`)}\n\n- a\n- b\n\n`,
  ).join("");
  const splitter = new BlockSplitter();
  for (let end = 0; end < whole.length; end += 7) splitter.split(whole.slice(0, end));
  expect(splitter.split(whole)).toEqual(split(whole));
});

test("finished blocks never change while the text grows", () => {
  const splitter = new BlockSplitter();
  const text = `${long("one")}\n\n`.repeat(50);
  let before: string[] = [];
  for (let end = 0; end <= text.length; end += 13) {
    const now = splitter.split(text.slice(0, end));
    expect(now.slice(0, before.length - 1)).toEqual(before.slice(0, -1));
    before = now;
  }
});

test("another text starts again", () => {
  const splitter = new BlockSplitter();
  splitter.split(`\`\`\`\n${long("one")}\n\n`);
  expect(splitter.split("plain")).toEqual(["plain"]);
});

test("no block is long, and nothing gets lost", () => {
  const texts = ["x".repeat(100_000), "word\n".repeat(20_000), "😀".repeat(40_000)];
  for (const text of texts) {
    const blocks = split(text);
    expect(Math.max(...blocks.map((block) => block.length))).toBeLessThanOrEqual(2 * LONGEST + 4);
    expect(blocks.join("")).toBe(text);
    expect(() => blocks.map(encodeURIComponent)).not.toThrow();
  }
});

test("a long fence is opened again in each of its blocks", () => {
  const blocks = split(`\`\`\`py\n${"x = 1\n".repeat(5_000)}\`\`\`\n\nafter\n`);
  expect(blocks.length).toBeGreaterThan(2);
  for (const block of blocks.slice(0, -1)) expect(block.startsWith("```")).toBe(true);
});

test("hostile lines take no time", () => {
  const started = performance.now();
  for (const text of [
    "- ".repeat(50_000),
    "-   \t ".repeat(20_000),
    "`".repeat(100_000),
    "\n".repeat(100_000),
    "a\n\n".repeat(50_000),
  ])
    split(`${text}x\n`);
  expect(performance.now() - started).toBeLessThan(2_000);
  expect(split("a\n\n".repeat(50_000)).length).toBeLessThan(1_000);
});

test("plain text is cut at lines where it has some", () => {
  const text = `${"a".repeat(30)}\n${"b".repeat(30)}\n${"c".repeat(90)}`;
  const pieces = plainPieces(text, 40);
  expect(pieces.join("")).toBe(text);
  expect(pieces[0]).toBe(`${"a".repeat(30)}\n`);
  expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(40);
});
