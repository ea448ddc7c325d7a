import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { onTheme } from "@/components/chart/colours";
import type { Cursor } from "@/components/chart/cursor";
import {
  align,
  type Column,
  type Level,
  type Line,
  measuredAt,
  type Ribbon,
} from "@/components/chart/lines";
import { optionsOf, type Shape } from "@/components/chart/plot";
import { DataTable, type Read, Readout, valueAt } from "@/components/chart/readout";
import { cx } from "@/lib/cx";
import { number, percent } from "@/lib/format";
import { useKeyNotes } from "@/lib/use-keys";

const HEIGHT = 200;

const readNumber: Read = (value) => number(value, 3);
const readShare: Read = (value) => percent(value, 1);

export type ChartSpec = {
  id: string;
  title: string;
  /** A sentence or a formula that describes the chart. */
  about: string;
  lines: Line[];
  ribbons?: Ribbon[];
  levels?: Level[];
  /** Values are shares of one, drawn from 0% to 100%. */
  isShare?: boolean;
  read?: Read;
};

type Props = {
  className?: string;
  spec: ChartSpec;
  cursor: Cursor;
  /** The steps of the whole page, so that its charts are aligned. */
  extent: [number, number];
  /** The visible steps; null shows all. */
  range: [number, number] | null;
  onZoom: (range: [number, number] | null) => void;
};

/** A plot over steps, its readout and its numbers as a table. */
export function Chart({ className, spec, cursor, extent, range, onZoom }: Props) {
  const [open, setOpen] = useState(false);
  const read = spec.read ?? (spec.isShare ? readShare : readNumber);
  const lines = useMemo(() => spec.lines.filter((line) => line.points.length > 0), [spec.lines]);
  const data = useMemo(() => align(lines), [lines]);
  const steps = data[0];
  const inSight = useMemo(
    () => (range ? steps.filter((x) => x >= range[0] && x <= range[1]) : steps),
    [steps, range],
  );
  if (steps.length === 0) return null;
  return (
    <figure
      aria-labelledby={`${spec.id}-title`}
      className={cx("min-w-0 rounded-lg border border-line bg-surface p-4", className)}
    >
      <figcaption>
        <h3 id={`${spec.id}-title`} className="font-semibold">
          {spec.title}
        </h3>
        <p className="text-sm text-muted">{spec.about}</p>
      </figcaption>
      <Plot {...{ spec, lines, data, inSight, cursor, extent, range, onZoom, read }} />
      <Readout
        lines={lines}
        cursor={cursor}
        last={inSight.at(-1) ?? steps.at(-1) ?? 0}
        read={read}
      />
      <details className="mt-1 text-sm" onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary className="w-fit text-muted hover:text-ink">Numbers</summary>
        {open && <DataTable title={spec.title} lines={lines} steps={inSight} read={read} />}
      </details>
    </figure>
  );
}

type PlotProps = Props & {
  lines: Line[];
  data: [number[], ...Column[]];
  inSight: number[];
  read: Read;
};

function Plot({ spec, lines, data, inSight, cursor, extent, range, onZoom, read }: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = JSON.stringify({
    lines: lines.map(({ points: _, ...line }) => line),
    ribbons: (spec.ribbons ?? []).filter((ribbon) =>
      [ribbon.from, ribbon.to].every((key) => lines.some((line) => line.key === key)),
    ),
    levels: spec.levels ?? [],
    isShare: spec.isShare ?? false,
  } satisfies Shape);
  const sight = range ?? extent;
  const latest = useRef({ data, sight, onZoom });
  latest.current = { data, sight, onZoom };

  useEffect(() => {
    const node = box.current;
    if (!node) return;
    const size = () => ({ width: node.clientWidth, height: HEIGHT });
    const made = new uPlot(
      optionsOf(JSON.parse(shape), size(), () => latest.current.sight, {
        onZoom: (x0, x1) => latest.current.onZoom([x0, x1]),
        onReset: () => latest.current.onZoom(null),
      }),
      latest.current.data as uPlot.AlignedData,
      node,
    );
    plot.current = made;
    // Only pointer events of the user move the shared cross-hair, not the redraws that follow.
    const over = made.over;
    const move = () => {
      const left = made.cursor.left ?? -1;
      if (left >= 0) cursor.set(stepNear(latest.current.data[0], made.posToVal(left, "x")));
    };
    const leave = () => cursor.set(null);
    over.addEventListener("mousemove", move);
    over.addEventListener("mouseleave", leave);
    const follow = cursor.subscribe(() => {
      const step = cursor.get();
      const left = step === null ? -10 : made.valToPos(step, "x");
      made.setCursor({ left, top: 0 }, false);
    });
    const resized = new ResizeObserver(() => made.setSize(size()));
    resized.observe(node);
    const unthemed = onTheme(() => made.redraw(false));
    return () => {
      over.removeEventListener("mousemove", move);
      over.removeEventListener("mouseleave", leave);
      follow();
      unthemed();
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape, cursor]);

  const [low, high] = sight;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `latest` holds the visible range.
  useEffect(() => {
    plot.current?.setData(data as uPlot.AlignedData);
  }, [data, low, high]);

  const [said, setSaid] = useState(inSight.at(-1) ?? 0);
  const onKey = (event: KeyboardEvent) => {
    const now = inSight.indexOf(cursor.get() ?? inSight.at(-1) ?? 0);
    const next = moved(event.key, now, inSight.length);
    if (next !== null) {
      const step = inSight[next];
      if (step === undefined) return;
      cursor.set(step);
      setSaid(step);
    } else if (event.key === "+" || event.key === "-") {
      onZoom(zoomed(event.key === "+" ? 0.5 : 2, cursor.get(), sight, extent));
    } else if (event.key === "Escape") {
      cursor.set(null);
      onZoom(null);
    } else return;
    event.preventDefault();
  };
  useKeyNotes({
    "← →": "In a chart: move by a step; Page Up and Page Down by ten",
    "+ −": "In a chart: zoom in and out",
    Esc: "In a chart: show all steps",
  });
  return (
    <div
      ref={box}
      role="slider"
      tabIndex={0}
      aria-label={`${spec.title}, step`}
      aria-valuemin={inSight[0] ?? 0}
      aria-valuemax={inSight.at(-1) ?? 0}
      aria-valuenow={said}
      aria-valuetext={`step ${said}: ${valuesAt(lines, said, read)}`}
      title="Drag to zoom, double-click for all. Arrow keys move, plus and minus zoom."
      onKeyDown={onKey}
      className="mt-2 w-full [&_.u-cursor-x]:border-muted! [&_.u-select]:bg-accent/15!"
      style={{ height: HEIGHT }}
    />
  );
}

const valuesAt = (lines: readonly Line[], step: number, read: Read) =>
  lines
    .filter(({ points }) => measuredAt(points, step))
    .map((line) => `${line.label} ${valueAt(line, step, read)}`)
    .join(", ");

/** The step with a point that is nearest to the pointer. */
function stepNear(steps: readonly number[], x: number): number {
  let best = steps[0] ?? 0;
  for (const step of steps) if (Math.abs(step - x) < Math.abs(best - x)) best = step;
  return best;
}

function moved(key: string, now: number, count: number): number | null {
  const by = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[key];
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  return by === undefined ? null : Math.max(0, Math.min(count - 1, now + by));
}

/** Half or twice the visible steps, around a step; null if that is all steps. */
function zoomed(
  factor: number,
  centre: number | null,
  [x0, x1]: [number, number],
  extent: [number, number],
): [number, number] | null {
  const middle = centre ?? (x0 + x1) / 2;
  const half = Math.max(1, ((x1 - x0) / 2) * factor);
  if (half * 2 >= extent[1] - extent[0]) return null;
  return [Math.max(0, Math.floor(middle - half)), Math.ceil(middle + half)];
}
