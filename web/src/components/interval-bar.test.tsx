import { render } from "@testing-library/react";
import { expect, test } from "vitest";
import { domainOf, IntervalBar } from "@/components/interval-bar";

test("around one half, the scale holds all shares", () => {
  expect(domainOf([{ value: 0.6, low: 0.5, high: 0.7 }], 0.5)).toEqual([0, 1]);
  expect(domainOf([{ value: 2, low: -1, high: null }, null], 0)).toEqual([-1, 2]);
  expect(domainOf([])).toEqual([0, 1]);
});

test("an estimate without an interval is a dot without whiskers", () => {
  const lines = (low: number | null) =>
    render(
      <IntervalBar estimate={{ value: 0.5, low, high: low && 0.9 }} domain={[0, 1]} />,
    ).container.querySelectorAll("line").length;
  expect(lines(null)).toBe(1);
  expect(lines(0.2)).toBe(2);
});
