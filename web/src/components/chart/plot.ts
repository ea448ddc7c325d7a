/** From lines to uPlot's options: how each column is drawn. Knows no data. */
import uPlot from "uplot";
import { colour } from "@/components/chart/colours";
import { isolated, type Level, type Line, type Ribbon } from "@/components/chart/lines";

/** Everything of a chart except its points; only a change of it makes a new plot. */
export type Shape = {
  lines: Omit<Line, "points">[];
  ribbons: Ribbon[];
  levels: Level[];
  isShare: boolean;
};

const FONT = '12px "Inter Variable", system-ui, sans-serif';
const RAW = 0.35;
const BAND = 0.16;
const AREA = 0.12;
const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6,
];

type Hooks = { onZoom: (x0: number, x1: number) => void; onReset: () => void };

export function optionsOf(
  shape: Shape,
  size: { width: number; height: number },
  sight: () => [number, number],
  { onZoom, onReset }: Hooks,
): uPlot.Options {
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  const first = new Map<string, number>();
  for (const line of shape.lines) {
    first.set(line.key, series.length);
    const added = seriesOf(line);
    const high = series.length + added.length - 2;
    series.push(...added);
    const strength = line.kind === "band" ? BAND * 0.7 : BAND;
    bands.push({ series: [high, high + 1], fill: () => colour(line.colour, strength) });
  }
  for (const { from, to, colour: token } of shape.ribbons) {
    const [a, b] = [first.get(from) ?? 0, first.get(to) ?? 0];
    const fill = () => colour(token, AREA);
    // The two edges may cross, so the area is filled in both directions.
    bands.push({ series: [a, b], fill }, { series: [b, a], fill });
  }
  return {
    ...size,
    padding: [8, 8, 0, 0],
    series,
    bands,
    scales: {
      x: { time: false, range: () => aired(sight()) },
      y: { range: (_, low, high) => (shape.isShare ? [0, 1] : padded(low, high, shape.levels)) },
    },
    axes: [
      axis({ incrs: STEPS, space: 60, size: 28 }),
      axis({ size: 50, ...(shape.isShare && { values: asPercent }) }),
    ],
    legend: { show: false },
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: true, y: false, setScale: false },
      bind: {
        dblclick: () => () => {
          onReset();
          return null;
        },
      },
    },
    hooks: {
      draw: [(plot) => drawLevels(plot, shape.levels)],
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (width < 4) return;
          const x0 = Math.max(0, Math.floor(plot.posToVal(left, "x")));
          onZoom(x0, Math.ceil(plot.posToVal(left + width, "x")));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

const asPercent = (_: uPlot, ticks: number[]) => ticks.map((tick) => `${Math.round(100 * tick)}%`);

/** Room for half a mark at both ends. */
function aired([low, high]: [number, number]): [number, number] {
  const air = (high - low || 1) * 0.01;
  return [low - air, high + air];
}

function seriesOf(line: Omit<Line, "points">): uPlot.Series[] {
  const none: uPlot.Series = { points: { show: false }, width: 0 };
  if (line.kind === "band") return [none, none];
  const stroke = () => colour(line.colour);
  const main: uPlot.Series = {
    stroke,
    width: line.kind === "trace" ? 1.75 : 1.25,
    dash: line.dash,
    fill: line.fill ? () => colour(line.colour, AREA) : undefined,
    fillTo: 0,
    points: {
      show: line.kind === "dots",
      // A trace has no marks, except where no line can be drawn, as of a run with one step.
      filter: (plot, at) => {
        const alone = line.kind === "dots" ? [] : isolated(plot.data[at] ?? []);
        return alone.length > 0 ? alone : null;
      },
      size: 7,
      width: 1.5,
      stroke,
      fill: () => colour("--surface"),
    },
  };
  if (line.kind === "dots") return [main, none, none];
  const raw: uPlot.Series = {
    stroke: () => colour(line.colour, RAW),
    width: line.isQuiet ? 0 : 1,
    points: { show: false },
  };
  return [main, raw, none, none];
}

function axis(more: uPlot.Axis): uPlot.Axis {
  return {
    stroke: () => colour("--muted"),
    font: FONT,
    grid: { stroke: () => colour("--line"), width: 1 },
    ticks: { show: false },
    gap: 6,
    ...more,
  };
}

/** Adds a margin, includes all levels, and gives some height if all values are equal. */
function padded(low: number | null, high: number | null, levels: Level[]): [number, number] {
  if (low === null || high === null) return [0, 1];
  const least = Math.min(low, ...levels.map((level) => level.y));
  const most = Math.max(high, ...levels.map((level) => level.y));
  const air = (most - least || Math.abs(most) || 1) * 0.06;
  return [least === 0 ? 0 : least - air, most + air];
}

function drawLevels(plot: uPlot, levels: Level[]) {
  const { ctx, bbox } = plot;
  for (const { y, label } of levels) {
    const top = Math.round(plot.valToPos(y, "y", true));
    if (top < bbox.top || top > bbox.top + bbox.height) continue;
    ctx.save();
    ctx.strokeStyle = colour("--muted");
    ctx.fillStyle = colour("--muted");
    ctx.lineWidth = uPlot.pxRatio;
    ctx.setLineDash([2 * uPlot.pxRatio, 3 * uPlot.pxRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, top);
    ctx.lineTo(bbox.left + bbox.width, top);
    ctx.stroke();
    ctx.font = `${11 * uPlot.pxRatio}px "Inter Variable", system-ui, sans-serif`;
    ctx.textAlign = "right";
    ctx.textBaseline = "bottom";
    ctx.fillText(label, bbox.left + bbox.width - 4, top - 2 * uPlot.pxRatio);
    ctx.restore();
  }
}
