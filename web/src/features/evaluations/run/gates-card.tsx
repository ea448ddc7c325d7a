import { Link } from "@tanstack/react-router";
import { Card } from "@/components/ui/card";
import { Cell, Row, Table } from "@/components/ui/table";
import { metricOf } from "@/features/evaluations/words";

type Gate = { suite: string; metric: string; at_least: number | string };
type Decided = Gate & { passed: boolean; reason: string; evaluation: string | null };
/** What a job says of its gates; the API's document does not have it yet. */
export type Gated = { gates?: Gate[]; promotion?: { promoted: boolean; gates: Decided[] } | null };

/** What the model must reach after its training, and whether it has. */
export function GatesCard({ job }: { job: Gated }) {
  const { gates = [], promotion } = job;
  if (gates.length === 0) return null;
  const rows: (Gate & Partial<Decided>)[] = promotion?.gates ?? gates;
  return (
    <Card title="Gates">
      <p className="mb-3 font-medium" role="status">
        {promotion ? (
          <Outcome passed={promotion.promoted}>
            {promotion.promoted ? "The model is promoted" : "The model is not promoted"}
          </Outcome>
        ) : (
          <span className="text-muted">Decided when the evaluations have ended.</span>
        )}
      </p>
      <Table caption="Gates" columns={["Gate", "At least", "Outcome", "Evaluation"]}>
        {rows.map((gate, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: gates never move.
          <Row key={place}>
            <Cell label="Gate">
              {gate.suite}: {metricOf(gate.metric).title}
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
                  aria-label={`Evaluation of ${gate.suite}, ${gate.metric}`}
                  className="text-accent underline"
                >
                  Show it
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

function Outcome({ passed, children }: { passed: boolean; children: string }) {
  return (
    <span className={passed ? "text-chosen" : "text-rejected"}>
      <span aria-hidden="true">{passed ? "✓" : "✗"}</span> {children}
    </span>
  );
}
