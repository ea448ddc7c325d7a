import { type KeyboardEvent, type MouseEvent, useState } from "react";
import { Card } from "@/components/ui/card";
import { EstimateText } from "@/features/evaluations/components/estimate";
import { outline } from "@/features/evaluations/histogram";
import type { Evaluation, Rewards } from "@/features/evaluations/objects";
import { overall, sideName } from "@/features/evaluations/words";
import { number } from "@/lib/format";
import { useKeyNotes } from "@/lib/use-keys";

const [WIDTH, HEIGHT] = [720, 180];

/** How the rewards of both models' answers are distributed, on common bins. */
export function RewardsCard(props: { evaluation: Evaluation; rewards: Rewards }) {
  const { evaluation, rewards } = props;
  const { edges = [], model = [], baseline } = rewards;
  const [bin, setBin] = useState<number | null>(null);
  const isEmpty = edges.length < 2;
  useKeyNotes(isEmpty ? {} : { "← →": "In the histogram: move by a bin" });
  if (isEmpty) return null;
  const score = overall(evaluation.scores).find(({ metric }) => metric === "reward");
  const most = Math.max(...model, ...(baseline ?? []), 1);
  const move = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    setBin((now) => Math.min(model.length - 1, Math.max(0, (now ?? -1) + by)));
  };
  const at = (event: MouseEvent<SVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    setBin(Math.min(model.length - 1, Math.max(0, Math.floor(share * model.length))));
  };
  const step = WIDTH / model.length;
  return (
    <Card title="Rewards">
      <figure className="min-w-0">
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label="Histogram of rewards. Arrow keys move through its bins."
          // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys read its bins.
          tabIndex={0}
          onKeyDown={move}
          onMouseMove={at}
          onMouseLeave={() => setBin(null)}
          className="h-44 w-full border-b border-line"
        >
          {bin !== null && (
            <rect x={bin * step} width={step} y={0} height={HEIGHT} fill="var(--line)" />
          )}
          <path
            d={outline(model, most, WIDTH, HEIGHT)}
            fill="var(--chosen)"
            fillOpacity={0.25}
            stroke="var(--chosen)"
            strokeWidth="2"
            vectorEffect="non-scaling-stroke"
          />
          {baseline && (
            <path
              d={outline(baseline, most, WIDTH, HEIGHT)}
              fill="none"
              stroke="var(--rejected)"
              strokeWidth="2"
              strokeDasharray="6 4"
              vectorEffect="non-scaling-stroke"
            />
          )}
        </svg>
        <div aria-hidden="true" className="flex justify-between text-sm text-muted">
          {[edges[0], edges[Math.floor(edges.length / 2)], edges.at(-1)].map((edge, place) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a label is known by its place.
            <span key={place}>{number(edge)}</span>
          ))}
        </div>
        <figcaption className="mt-2 flex flex-col gap-1">
          <Legend
            name={sideName(evaluation.model)}
            stroke="var(--chosen)"
            estimate={score?.model}
            count={bin === null ? null : (model[bin] ?? 0)}
          />
          {baseline && evaluation.baseline && (
            <Legend
              name={sideName(evaluation.baseline)}
              stroke="var(--rejected)"
              isDashed
              estimate={score?.baseline}
              count={bin === null ? null : (baseline[bin] ?? 0)}
            />
          )}
          <p role="status" className="min-h-5 text-sm text-muted">
            {bin !== null && `Rewards from ${number(edges[bin])} to ${number(edges[bin + 1])}`}
          </p>
        </figcaption>
        <Numbers edges={edges} model={model} baseline={baseline ?? null} />
      </figure>
    </Card>
  );
}

function Legend(props: {
  name: string;
  stroke: string;
  isDashed?: boolean;
  estimate: Parameters<typeof EstimateText>[0]["estimate"];
  count: number | null;
}) {
  return (
    <p className="flex flex-wrap items-center gap-x-2">
      <svg width="24" height="8" aria-hidden="true">
        <line
          x2="24"
          y1="4"
          y2="4"
          stroke={props.stroke}
          strokeWidth="2"
          strokeDasharray={props.isDashed ? "6 4" : undefined}
        />
      </svg>
      <span className="min-w-0 break-words">{props.name}</span>
      {props.estimate && (
        <span>
          <span className="text-muted">mean</span>{" "}
          <EstimateText metric="reward" estimate={props.estimate} />
        </span>
      )}
      {props.count !== null && <span>{number(props.count)} answers here</span>}
    </p>
  );
}

function Numbers(props: { edges: number[]; model: number[]; baseline: number[] | null }) {
  const { edges, model, baseline } = props;
  const [open, setOpen] = useState(false);
  return (
    <details className="mt-1 text-sm" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="w-fit text-muted hover:text-ink">Numbers</summary>
      {open && (
        <table className="mt-2 text-right">
          <caption className="sr-only">Answers by reward</caption>
          <thead>
            <tr className="text-muted">
              {["From", "To", "Model", ...(baseline ? ["Baseline"] : [])].map((name) => (
                <th key={name} scope="col" className="px-3 py-1 font-medium">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {model.map((count, bin) => (
              <tr key={edges[bin]} className="border-t border-line">
                <td className="px-3 py-1">{number(edges[bin], 3)}</td>
                <td className="px-3 py-1">{number(edges[bin + 1], 3)}</td>
                <td className="px-3 py-1">{number(count)}</td>
                {baseline && <td className="px-3 py-1">{number(baseline[bin])}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </details>
  );
}
