/** The data of a chart: lines of points over steps, and their values at one step. */

/** One bucket of steps: its last step, its mean, and its extremes (or any interval). */
export type Point = {
  x: number;
  y: number | null;
  low: number | null;
  high: number | null;
  /** The first step of the bucket, if it covers more than the step `x`. */
  from?: number;
};

export type Line = {
  key: string;
  label: string;
  /** A token of styles.css, such as `--chosen`. */
  colour: string;
  dash?: number[];
  /** trace: noisy, drawn smoothed over its raw values; dots: few measured values; band: no line. */
  kind: "trace" | "dots" | "band";
  fill?: boolean;
  /** A trace without its raw values, for charts with many lines. */
  isQuiet?: boolean;
  points: Point[];
};

/** The area between two lines. */
export type Ribbon = { from: string; to: string; colour: string };

/** A horizontal line at a value that has a meaning. */
export type Level = { y: number; label: string };

export type Column = (number | null | undefined)[];

const WINDOWS = 20;

/** Exponential mean with bias correction; it restarts after a gap. */
export function smooth(values: readonly (number | null)[]): (number | null)[] {
  const keep = 1 - 1 / Math.max(1, values.length / WINDOWS);
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null) {
      sum = 0;
      weight = 0;
      return null;
    }
    sum = keep * sum + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return sum / weight;
  });
}

/** The columns of a line: the line itself, its raw values for a trace, its interval. */
export function columnsOf(line: Line): (readonly (number | null)[])[] {
  const raw = line.points.map((point) => point.y);
  const high = line.points.map((point) => point.high);
  const low = line.points.map((point) => point.low);
  if (line.kind === "band") return [high, low];
  return line.kind === "trace" ? [smooth(raw), raw, high, low] : [raw, high, low];
}

/**
 * Lines over one shared axis. `undefined` means that a line has no point there, and the line
 * continues; `null` means that its value is not a number, which leaves a gap.
 */
export function align(lines: readonly Line[]): [number[], ...Column[]] {
  const steps = new Set(lines.flatMap((line) => line.points.map((point) => point.x)));
  const x = [...steps].sort((a, b) => a - b);
  const place = new Map(x.map((step, index) => [step, index]));
  const columns = lines.flatMap((line) =>
    columnsOf(line).map((values) => {
      const column: Column = new Array(x.length).fill(undefined);
      line.points.forEach((point, index) => {
        column[place.get(point.x) ?? 0] = values[index];
      });
      return column;
    }),
  );
  return [x, ...columns];
}

/** The newest point of a line at or before a step; undefined before its first point. */
export function pointAt(points: readonly Point[], step: number): Point | undefined {
  return points[placeAfter(points, step) - 1];
}

/** The place of the first point that ends after a step. */
function placeAfter(points: readonly Point[], step: number): number {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((points[middle] as Point).x <= step) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The point that was measured at a step: its bucket covers the step. Never an earlier value. */
export function measuredAt(points: readonly Point[], step: number): Point | undefined {
  const place = placeAfter(points, step);
  const [before, next] = [points[place - 1], points[place]];
  if (before?.x === step) return before;
  return next && (next.from ?? next.x) <= step ? next : undefined;
}

/** The places of values without a neighbour, between which no line can be drawn. */
export function isolated(column: ArrayLike<number | null | undefined>): number[] {
  const found: number[] = [];
  // Undefined joins its neighbours, null is a gap.
  let previous: number | null = null;
  let place: number | null = null;
  for (let at = 0; at <= column.length; at++) {
    const value = at < column.length ? column[at] : null;
    if (value === undefined) continue;
    if (place !== null && previous === null && value === null) found.push(place);
    previous = place === null ? null : (column[place] ?? null);
    place = value === null ? null : at;
  }
  return found;
}

/** At most `count` items, evenly spread, including the last one. */
export function thin<Item>(items: readonly Item[], count: number): Item[] {
  if (items.length <= count) return [...items];
  const stride = (items.length - 1) / (count - 1);
  return Array.from({ length: count }, (_, i) => items[Math.round(i * stride)] as Item);
}

/** The first and last step of all lines of all charts. */
export function extentOf(charts: readonly { lines: readonly Line[] }[]): [number, number] {
  const lines = charts.flatMap((chart) => chart.lines).filter((line) => line.points.length > 0);
  const low = Math.min(...lines.map((line) => line.points[0]?.x ?? 0));
  const high = Math.max(...lines.map((line) => line.points.at(-1)?.x ?? 0));
  return lines.length > 0 ? [low, high] : [0, 1];
}
