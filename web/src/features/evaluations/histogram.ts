/** Histograms on common bins as outlines that can be drawn over each other. */

/** The outline of a histogram as an SVG path, in a box of `width` by `height`. */
export function outline(
  counts: readonly number[],
  most: number,
  width: number,
  height: number,
): string {
  if (counts.length === 0 || most <= 0) return "";
  const step = width / counts.length;
  const y = (count: number) => round(height - (count / most) * height);
  const steps = counts.map((count, bin) => `V${y(count)}H${round((bin + 1) * step)}`);
  return `M0,${height}${steps.join("")}V${height}`;
}

const round = (value: number) => Math.round(100 * value) / 100;
