import { expect, test } from "vitest";
import { visible } from "@/lib/visible-text";

test("controls, zero widths, tags and smuggled selectors get a mark", () => {
  expect(visible("a\u202eb")).toBe("a‹U+202E›b");
  expect(visible("a\u200bb\ufeff")).toBe("a‹U+200B›b‹U+FEFF›");
  expect(visible("\u{e0041}\u{e0042}")).toBe("‹U+E0041›‹U+E0042›");
  expect(visible("a\ufe01\ufe02")).toBe("a\ufe01‹U+FE02›");
  expect(visible("\u001b[2J")).toBe("‹U+001B›[2J");
});

test("what people write stays as it is", () => {
  for (const text of ["tab\tand\r\nline", "👩‍👩‍👧 ❤️ 👍🏽‍", "می‌خواهم", "क्‍ष", "naïve 東京 שלום"])
    expect(visible(text)).toBe(text);
});
