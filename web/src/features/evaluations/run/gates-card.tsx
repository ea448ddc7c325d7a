import { Link } from "@tanstack/react-router";
import { Card } from "@/components/ui/card";
import { Cell, Row, Table } from "@/components/ui/table";
import { metricOf } from "@/features/evaluations/words";
import type { Schema } from "@/lib/api";

type Job = Pick<Schema<"JobObject">, "gates" | "promotion" | "status">;

/** What the model must reach after its training, and whether it has. */
export function GatesCard({ job }: { job: Job }) {
  const { gates = [], promotion } = job;
  if (gates.length === 0) return null;
  const rows: Schema<"GateResult">[] = promotion?.gates ?? gates;
  return (
    <Card title="Gates">
      <p className="mb-3 font-medium" role="status">
        {promotion ? (
          <Outcome passed={promotion.promoted ?? null}>
            {promotion.promoted ? "The model is promoted" : "The model is not promoted"}
          </Outcome>
        ) : (
          <span className="text-muted">{undecided(job.status)}</span>
        )}
      </p>
      <Table caption="Gates" columns={["Gate", "At least", "Outcome", "Evaluation"]}>
        {rows.map((gate, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: gates never move.
          <Row key={place}>
            <Cell label="Gate">
              {gate.suite}: {metricOf(gate.metric ?? "").title}
            </Cell>
            <Cell label="At least">{gate.at_least}</Cell>
            <Cell label="Outcome">
              {gate.passed === undefined ? (
                <span className="text-muted">not decided</span>
              ) : (
                <>
                  <Outcome passed={gate.passed}>{gate.passed ? "passed" : "not passed"}</Outcome>
                  <p className="text-sm text-muted">{gate.reason}</p>
                </>
              )}
            </Cell>
            <Cell label="Evaluation">
              {gate.evaluation ? (
                <Link
                  to="/evaluations/$evaluationId"
                  params={{ evaluationId: gate.evaluation }}
                  className="text-accent underline"
                >
                  Show it
                  <span className="sr-only">
                    : {gate.suite}, {gate.metric}
                  </span>
                </Link>
              ) : (
                <span className="text-muted">–</span>
              )}
            </Cell>
          </Row>
        ))}
      </Table>
    </Card>
  );
}

/** What is to come before there is a decision; a run without a model gets none. */
const undecided = (status: string) =>
  status === "failed" || status === "cancelled"
    ? "The run has left no model, so its gates are not evaluated."
    : "Decided when the evaluations have ended.";

function Outcome({ passed, children }: { passed: boolean | null; children: string }) {
  return (
    <span className={passed ? "text-chosen" : "text-rejected"}>
      <span aria-hidden="true">{passed ? "✓" : "✗"}</span> {children}
    </span>
  );
}
