import { act, render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { createCursor } from "@/components/chart/cursor";
import type { Line, Point } from "@/components/chart/lines";
import { DataTable, Readout, rowsOf } from "@/components/chart/readout";

const at = (x: number, y: number): Point => ({ x, y, low: y, high: y });
const line = (label: string, kind: Line["kind"], points: Point[]): Line => ({
  key: label,
  label,
  kind,
  colour: "--chosen",
  points,
});
const training = line(
  "training",
  "trace",
  Array.from({ length: 86 }, (_, i) => at(i + 1, i + 1)),
);
const heldOut = line("held-out", "dots", [at(12, 0.5)]);
const read = (value: number | null | undefined) => String(value);
const shownFor = (label: string) => screen.getByText(label).closest("div")?.querySelector("dd");

test("the readout shows no value of another step under the step of the cross-hair", () => {
  const cursor = createCursor();
  render(<Readout lines={[training, heldOut]} cursor={cursor} last={86} read={read} />);
  act(() => cursor.set(80));
  expect(shownFor("training")).toHaveTextContent("80");
  expect(shownFor("held-out")).toHaveTextContent("–");
  act(() => cursor.set(12));
  expect(shownFor("held-out")).toHaveTextContent("0.5");
});

test("without a cross-hair, an earlier newest value names the step of its measurement", () => {
  render(<Readout lines={[training, heldOut]} cursor={createCursor()} last={86} read={read} />);
  expect(shownFor("training")).toHaveTextContent(/^86$/);
  expect(shownFor("held-out")).toHaveTextContent("0.5 at step 12");
});

test("the table keeps the steps of the few measured values and repeats none of them", () => {
  const steps = training.points.map(({ x }) => x);
  expect(rowsOf([training, heldOut], steps)).toContain(12);
  render(<DataTable title="Loss" lines={[training, heldOut]} steps={steps} read={read} />);
  expect(screen.getAllByText("0.5")).toHaveLength(1);
});
