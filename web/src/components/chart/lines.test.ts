import { expect, test } from "vitest";
import {
  align,
  isolated,
  type Line,
  measuredAt,
  type Point,
  pointAt,
  smooth,
  thin,
} from "@/components/chart/lines";

const at = (x: number, y: number | null): Point => ({ x, y, low: y, high: y });
const dots = (key: string, points: Point[]): Line => ({
  key,
  label: key,
  colour: "--chosen",
  kind: "dots",
  points,
});

test("lines share one axis: absent is undefined, not a number is null", () => {
  const [x, a, , , b] = align([dots("a", [at(1, 5), at(3, null)]), dots("b", [at(2, 7)])]);
  expect(x).toEqual([1, 2, 3]);
  expect(a).toEqual([5, undefined, null]);
  expect(b).toEqual([undefined, 7, undefined]);
});

test("smoothing keeps a constant, starts unbiased and restarts after a gap", () => {
  const constant = smooth(new Array(400).fill(3));
  expect(constant[0]).toBeCloseTo(3);
  expect(constant[399]).toBeCloseTo(3);
  expect(smooth([...new Array(200).fill(9), null, 1])).toHaveLength(202);
  expect(smooth([...new Array(200).fill(9), null, 1])[201]).toBeCloseTo(1);
});

test("the readout takes the newest point at or before a step", () => {
  const points = [at(10, 1), at(20, 2)];
  expect(pointAt(points, 9)).toBeUndefined();
  expect(pointAt(points, 10)?.y).toBe(1);
  expect(pointAt(points, 99)?.y).toBe(2);
});

test("thinning keeps both ends", () => {
  const kept = thin([...Array(1000).keys()], 50);
  expect(kept).toHaveLength(50);
  expect([kept[0], kept[49]]).toEqual([0, 999]);
});

test("a value belongs to the steps of its bucket only, and is never carried forward", () => {
  const points = [at(10, 1), { ...at(20, 2), from: 15 }];
  expect(measuredAt(points, 10)?.y).toBe(1);
  expect(measuredAt(points, 12)).toBeUndefined();
  expect(measuredAt(points, 15)?.y).toBe(2);
  expect(measuredAt(points, 20)?.y).toBe(2);
  expect(measuredAt(points, 86)).toBeUndefined();
  expect(measuredAt([{ ...at(9, 3), from: 1 }], 4)?.y).toBe(3);
});

test("values that no line reaches are found, so that they are drawn as marks", () => {
  expect(isolated([5])).toEqual([0]);
  expect(isolated([undefined, 5, undefined])).toEqual([1]);
  expect(isolated([5, undefined, 6])).toEqual([]);
  expect(isolated([5, null, 6, 7, null, undefined, 8])).toEqual([0, 6]);
  expect(isolated([])).toEqual([]);
});
