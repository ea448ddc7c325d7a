import { type Cursor, useCursor } from "@/components/chart/cursor";
import { type Line, measuredAt, type Point, pointAt, thin } from "@/components/chart/lines";
import { number } from "@/lib/format";

export type Read = (value: number | null | undefined) => string;

/** A line's value at a step in words; a dash if none was measured at that step. */
export function valueAt(line: Line, step: number, read: Read): string {
  const point = measuredAt(line.points, step);
  return point ? inWords(line, point, read) : "–";
}

/** A line's newest value up to a step; one that was measured earlier names its own step. */
export function newestAt(line: Line, step: number, read: Read): string {
  const point = measuredAt(line.points, step) ?? pointAt(line.points, step);
  if (!point) return "–";
  const isEarlier = point.x < step;
  return `${inWords(line, point, read)}${isEarlier ? ` at step ${number(point.x, 0)}` : ""}`;
}

/** A point's value; a band's is its interval. */
function inWords(line: Line, point: Point, read: Read): string {
  if (line.kind === "band") return `${read(point.low)} to ${read(point.high)}`;
  if (point.y === null) return "NaN or infinite";
  return read(point.y);
}

/**
 * Below the plot: the step under the cross-hair and each line's value there; without a cross-hair
 * the newest step, and each line's newest value.
 */
export function Readout(props: { lines: Line[]; cursor: Cursor; last: number; read: Read }) {
  const pointed = useCursor(props.cursor);
  const step = pointed ?? props.last;
  const textOf = pointed === null ? newestAt : valueAt;
  return (
    <dl className="mt-1 flex flex-wrap items-center gap-x-4 gap-y-1 text-sm">
      <div className="flex gap-1.5 text-muted">
        <dt>Step</dt>
        <dd>{number(step, 0)}</dd>
      </div>
      {props.lines.map((line) => (
        <div key={line.key} className="flex items-center gap-1.5">
          <dt className="flex items-center gap-1.5 text-muted">
            <Swatch line={line} />
            {line.label}
          </dt>
          <dd className="font-medium">{textOf(line, step, props.read)}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A small sample of a line: its colour, its dash, its dots. */
export function Swatch({ line }: { line: Pick<Line, "colour" | "dash" | "kind"> }) {
  const paint = `var(${line.colour})`;
  return (
    <svg width="20" height="8" aria-hidden="true" className="shrink-0">
      {line.kind === "band" ? (
        <rect width="20" height="8" fill={paint} opacity="0.25" />
      ) : (
        <line
          x2="20"
          y1="4"
          y2="4"
          stroke={paint}
          strokeWidth="2"
          strokeDasharray={line.dash?.join(" ")}
        />
      )}
      {line.kind === "dots" && (
        <circle cx="10" cy="4" r="3" fill="var(--surface)" stroke={paint} strokeWidth="1.5" />
      )}
    </svg>
  );
}

const ROWS = 60;

/** The steps of the table: those of the few measured values first, then others evenly spread. */
export function rowsOf(lines: readonly Line[], steps: readonly number[]): number[] {
  const few = new Set(
    lines.filter(({ kind }) => kind !== "trace").flatMap(({ points }) => points.map(({ x }) => x)),
  );
  const kept = thin(
    steps.filter((step) => few.has(step)),
    ROWS / 2,
  );
  const others = thin(
    steps.filter((step) => !few.has(step)),
    ROWS - kept.length,
  );
  return [...kept, ...others].sort((a, b) => a - b);
}

/** The same numbers as a table, for users who can't see the plot or want to copy the numbers. */
export function DataTable(props: { title: string; lines: Line[]; steps: number[]; read: Read }) {
  const steps = rowsOf(props.lines, props.steps);
  return (
    <section
      className="max-h-64 overflow-auto"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable.
      tabIndex={0}
      aria-label={`${props.title} as a table`}
    >
      <table className="w-full text-right text-sm">
        <thead className="sticky top-0 bg-surface">
          <tr>
            <th className="py-1 pr-3 text-left font-medium">Step</th>
            {props.lines.map((line) => (
              <th key={line.key} className="px-2 py-1 font-medium">
                {line.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {steps.map((step) => (
            <tr key={step} className="border-t border-line">
              <th scope="row" className="py-1 pr-3 text-left font-normal">
                {number(step, 0)}
              </th>
              {props.lines.map((line) => (
                <td key={line.key} className="px-2 py-1 whitespace-nowrap">
                  {valueAt(line, step, props.read)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {steps.length < props.steps.length && (
        <p className="py-1 text-sm text-muted">
          {steps.length} of {props.steps.length} steps. Zoom in for the others.
        </p>
      )}
    </section>
  );
}
