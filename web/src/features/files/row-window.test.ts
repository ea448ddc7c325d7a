import { expect, test } from "vitest";
import { MOST_PX, ROW_PX, rowWindow, scrollTo } from "@/features/files/row-window";

const VIEW = 600;
const MILLION = 1_000_000;

test("draws the rows in view and a few around them", () => {
  const found = rowWindow(1_000, 100 * ROW_PX, VIEW);
  expect(found.height).toBe(1_000 * ROW_PX);
  expect(found.first).toBe(94);
  expect(found.end).toBe(100 + Math.ceil(VIEW / ROW_PX) + 6);
  expect(found.top).toBe(94 * ROW_PX);
  expect(rowWindow(3, 0, VIEW)).toEqual({ height: 3 * ROW_PX, first: 0, end: 3, top: 0 });
  expect(rowWindow(0, 0, VIEW)).toMatchObject({ height: 0, first: 0, end: 0 });
});

test("a million rows fit into what a browser can draw, and the last one is reached", () => {
  const last = rowWindow(MILLION, MOST_PX - VIEW, VIEW);
  expect(last.height).toBe(MOST_PX);
  expect(last.end).toBe(MILLION);
  const bottom = last.top + (last.end - last.first) * ROW_PX;
  expect(bottom).toBeCloseTo(MOST_PX, 3);
  const middle = rowWindow(MILLION, (MOST_PX - VIEW) / 2, VIEW);
  expect(middle.first).toBeGreaterThan(499_900);
  expect(middle.end - middle.first).toBeLessThan(40);
});

test.each([1_000, MILLION])("scrolls as little as needed in a list of %i rows", (count) => {
  for (const index of [0, 1, 57, 480, count - 1]) {
    const at = scrollTo(index, count, 0, VIEW);
    const { first, top } = rowWindow(count, at, VIEW);
    const start = top + (index - first) * ROW_PX;
    expect(start).toBeGreaterThanOrEqual(at - 0.01);
    expect(start + ROW_PX).toBeLessThanOrEqual(at + VIEW + 0.01);
  }
  const shown = scrollTo(500, count, 0, VIEW);
  expect(scrollTo(499, count, shown, VIEW)).toBe(shown);
});
