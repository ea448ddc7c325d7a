import { Card } from "@/components/ui/card";
import type { Job } from "@/features/jobs/api";
import { type GateView, gatesOf, type Outcome, promotionText } from "@/features/jobs/run/gates";
import { cx } from "@/lib/cx";

const MARKS: Record<Outcome, { mark: string; colour: string }> = {
  passed: { mark: "✓", colour: "text-chosen" },
  failed: { mark: "✗", colour: "text-rejected" },
  waiting: { mark: "·", colour: "text-muted" },
};

/** What the model must reach, and whether it has; nothing for a job without gates. */
export function GatesPanel({ job }: { job: Job }) {
  const gates = gatesOf(job);
  if (gates.length === 0) return null;
  return (
    <Card title="Gates" actions={<p className="font-medium">{promotionText(job)}</p>}>
      <ul className="grid gap-3">
        {gates.map((gate) => (
          <GateItem key={gate.key} gate={gate} />
        ))}
      </ul>
    </Card>
  );
}

function GateItem({ gate }: { gate: GateView }) {
  const { mark, colour } = MARKS[gate.outcome];
  return (
    <li className="min-w-0 border-t border-line pt-3 first:border-t-0 first:pt-0">
      <p>
        <span aria-hidden="true" className={cx("mr-1.5", colour)}>
          {mark}
        </span>
        <span className="font-mono text-sm">{gate.name}</span> at least {gate.atLeast}
      </p>
      <p className="mt-0.5 text-sm break-words text-muted">{gate.sentence}</p>
    </li>
  );
}
