import { type KeyboardEvent, type MouseEvent, memo, useMemo, useState } from "react";
import {
  FATES,
  gotWorse,
  type Judged,
  prefersRejected,
  questionOf,
  sorted,
} from "@/features/jobs/run/pairs";
import { signed } from "@/lib/format";
import { useKeyNotes } from "@/lib/use-keys";

const SIZE = 400;
const EDGE = 40;
const REACH = 20;

type Props = {
  pairs: Judged[];
  /** The axes do not change while a filter hides some pairs. */
  all: Judged[];
  opened: Judged | null;
  open: (pair: Judged | null) => void;
  /** What the axes show. */
  name: string;
};

/** One dot per pair: its margin before and after. Below the diagonal it got worse. */
export function PairsScatter({ pairs, all, opened, open, name }: Props) {
  const [at, setAt] = useState<Judged | null>(null);
  const frame = useMemo(() => frameOf(all), [all]);
  const order = useMemo(() => sorted(pairs, "change", false), [pairs]);
  const pointed = at ?? opened;

  const onKey = (event: KeyboardEvent) => {
    const now = pointed ? order.findIndex((pair) => pair.line === pointed.line) : -1;
    const next = { ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1 };
    const place = event.key in next ? next[event.key as keyof typeof next] : null;
    if (place !== null) setAt(order[Math.max(0, Math.min(order.length - 1, place))] ?? null);
    else if ((event.key === "Enter" || event.key === " ") && pointed) open(pointed);
    else if (event.key === "Escape") open(null);
    else return;
    event.preventDefault();
  };
  useKeyNotes({
    "Arrow keys": "In the chart of the pairs: move; Enter opens a pair, Esc closes it",
  });
  const near = (event: MouseEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * SIZE;
    const y = ((event.clientY - box.top) / box.height) * SIZE;
    return nearest(pairs, frame, x, y);
  };
  return (
    <figure className="min-w-0 rounded-lg border border-line bg-surface p-4 xl:sticky xl:top-24">
      <figcaption>
        <h3 className="font-semibold">{name} before and after</h3>
        <p className="text-sm text-muted">
          Each mark is a held-out pair. Below the diagonal it got worse
          {pairs.some(gotWorse) ? " (▼)." : "."}
          {pairs.some(prefersRejected) &&
            " Tinted like the rejected answers: the rejected answer is preferred, below 0."}
        </p>
      </figcaption>
      <div
        role="slider"
        tabIndex={0}
        aria-label="Held-out pairs from the most worsened to the most improved"
        aria-valuemin={1}
        aria-valuemax={order.length}
        aria-valuenow={pointed ? order.indexOf(pointed) + 1 : 1}
        aria-valuetext={pointed ? describe(pointed) : "No pair is selected"}
        className="mt-2 max-w-md cursor-pointer"
        onKeyDown={onKey}
        onMouseMove={(event) => setAt(near(event))}
        onMouseLeave={() => setAt(null)}
        onClick={(event) => {
          const found = near(event);
          if (found) open(found);
        }}
      >
        <svg viewBox={`0 0 ${SIZE} ${SIZE}`} aria-hidden="true" className="block w-full">
          <Frame frame={frame} />
          <Marks pairs={pairs} frame={frame} />
          {pointed && (
            <circle
              cx={frame.place(pointed.was)}
              cy={SIZE - frame.place(pointed.is)}
              r="8"
              fill="none"
              stroke="var(--ink)"
              strokeWidth="2"
            />
          )}
        </svg>
      </div>
      <p className="min-h-10 text-sm">
        {pointed ? (
          <>
            <span className="line-clamp-1">{questionOf(pointed)}</span>
            <span className="text-muted">
              {signed(pointed.was)} → {signed(pointed.is)}, {FATES[pointed.fate]}
            </span>
          </>
        ) : (
          <span className="text-muted">Choose a mark to see its pair.</span>
        )}
      </p>
    </figure>
  );
}

const describe = (pair: Judged) =>
  `${questionOf(pair)}: ${signed(pair.was)} to ${signed(pair.is)}, ${FATES[pair.fate]}`;

type FrameOf = { low: number; high: number; ticks: number[]; place: (value: number) => number };

function frameOf(pairs: readonly Judged[]): FrameOf {
  const values = pairs.flatMap((pair) => [pair.was, pair.is]);
  const least = values.reduce((a, b) => Math.min(a, b), 0);
  const most = values.reduce((a, b) => Math.max(a, b), 0);
  const air = (most - least || 1) * 0.06;
  const [low, high] = [least - air, most + air];
  const stride = strideOf(high - low);
  const first = Math.ceil(low / stride);
  const count = Math.floor(high / stride) - first + 1;
  const ticks = Array.from({ length: count }, (_, i) => (first + i) * stride);
  const place = (value: number) => EDGE + ((value - low) / (high - low)) * (SIZE - EDGE - 8);
  return { low, high, ticks, place };
}

function strideOf(span: number): number {
  const rough = span / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((step) => step * power >= rough) ?? 10);
}

function nearest(pairs: readonly Judged[], frame: FrameOf, x: number, y: number): Judged | null {
  let best: Judged | null = null;
  let reach = REACH;
  for (const pair of pairs) {
    const away = Math.hypot(frame.place(pair.was) - x, SIZE - frame.place(pair.is) - y);
    if (away < reach) [best, reach] = [pair, away];
  }
  return best;
}

function Frame({ frame }: { frame: FrameOf }) {
  const [low, high] = [frame.place(frame.low), frame.place(frame.high)];
  return (
    <g fontSize="12" fill="var(--muted)" stroke="none">
      {frame.ticks.map((tick) => {
        const at = frame.place(tick);
        const width = Math.abs(tick) < 1e-9 ? 1.5 : 1;
        const stroke = width > 1 ? "var(--muted)" : "var(--line)";
        return (
          <g key={tick}>
            <line
              x1={at}
              x2={at}
              y1={SIZE - low}
              y2={SIZE - high}
              {...{ stroke }}
              strokeWidth={width}
            />
            <line
              x1={low}
              x2={high}
              y1={SIZE - at}
              y2={SIZE - at}
              {...{ stroke }}
              strokeWidth={width}
            />
            <text x={at} y={SIZE - low + 16} textAnchor="middle">
              {Number(tick.toFixed(6))}
            </text>
            <text x={low - 6} y={SIZE - at + 4} textAnchor="end">
              {Number(tick.toFixed(6))}
            </text>
          </g>
        );
      })}
      <line
        x1={low}
        y1={SIZE - low}
        x2={high}
        y2={SIZE - high}
        stroke="var(--muted)"
        strokeDasharray="4 4"
      />
      <text x={high} y={SIZE - low + 32} textAnchor="end">
        before →
      </text>
      <text x={low + 6} y={SIZE - high + 12}>
        ↑ after
      </text>
      <text x={high - 6} y={SIZE - low - 8} textAnchor="end">
        got worse
      </text>
    </g>
  );
}

const Marks = memo(function Marks({ pairs, frame }: { pairs: Judged[]; frame: FrameOf }) {
  return (
    <g strokeWidth="1.5" fillOpacity="0.25">
      {pairs.map((pair) => {
        const [x, y] = [frame.place(pair.was), SIZE - frame.place(pair.is)];
        const tint = prefersRejected(pair) ? "var(--rejected)" : "var(--chosen)";
        return gotWorse(pair) ? (
          <path key={pair.line} d={`M${x - 5} ${y - 4}h10l-5 9z`} fill={tint} stroke={tint} />
        ) : (
          <circle key={pair.line} cx={x} cy={y} r="4" fill={tint} stroke={tint} />
        );
      })}
    </g>
  );
});
