import { Link } from "@tanstack/react-router";
import { Progress } from "@/components/progress";
import { Card } from "@/components/ui/card";
import { State } from "@/components/ui/state";
import { Cell, Row, Table } from "@/components/ui/table";
import { EstimateText, ReadingText } from "@/features/evaluations/components/estimate";
import { JudgeText } from "@/features/evaluations/components/judge-text";
import type { Evaluation } from "@/features/evaluations/objects";
import {
  comparedInWords,
  hasEnded,
  headlineOf,
  headlineReading,
  metricOf,
  phaseOf,
  sideName,
} from "@/features/evaluations/words";
import { Sentence } from "@/features/jobs/components/sentence";
import { ago, moment, number } from "@/lib/format";

/** Evaluations with their state and the number that stands for each. */
export function EvaluationsTable(props: {
  evaluations: readonly Evaluation[];
  /** Without them, no row can be ticked. */
  ticked?: readonly string[];
  toggle?: (id: string) => void;
}) {
  const { ticked, toggle } = props;
  const columns = ["Evaluation", "State", "Result", "Created"];
  return (
    <Card>
      <Table caption="Evaluations" columns={toggle ? ["Compare", ...columns] : columns}>
        {props.evaluations.map((evaluation) => (
          <Row key={evaluation.id}>
            {toggle && (
              <Cell label="Compare" className="md:w-20">
                <input
                  type="checkbox"
                  className="mt-0.5 size-4 accent-accent"
                  aria-label={`Compare ${titleOf(evaluation)}`}
                  checked={ticked?.includes(evaluation.id) ?? false}
                  onChange={() => toggle(evaluation.id)}
                />
              </Cell>
            )}
            <Cell label="Evaluation" className="md:max-w-md">
              <Link
                to="/evaluations/$evaluationId"
                params={{ evaluationId: evaluation.id }}
                aria-label={titleOf(evaluation)}
                className="font-medium break-words text-accent underline"
              >
                {sideName(evaluation.model)}
              </Link>
              <p className="text-sm break-words text-muted">
                {evaluation.suite.title}
                {evaluation.baseline && ` against ${sideName(evaluation.baseline)}`}
              </p>
            </Cell>
            <Cell label="State" className="md:w-64">
              <Standing evaluation={evaluation} />
            </Cell>
            <Cell label="Result">
              <Result evaluation={evaluation} />
            </Cell>
            <Cell label="Created" className="whitespace-nowrap text-muted">
              <time
                dateTime={new Date(evaluation.created_at * 1000).toISOString()}
                title={moment(evaluation.created_at)}
              >
                {ago(evaluation.created_at)}
              </time>
            </Cell>
          </Row>
        ))}
      </Table>
    </Card>
  );
}

const titleOf = (evaluation: Evaluation) =>
  `${evaluation.suite.title}: ${comparedInWords(evaluation)}`;

function Standing({ evaluation }: { evaluation: Evaluation }) {
  const { status, error } = evaluation;
  if (hasEnded(evaluation))
    return (
      <>
        <State value={status} />
        {error && (
          <p className="text-sm break-words text-muted">
            <Sentence text={error.message} />
          </p>
        )}
      </>
    );
  const { share, says } = phaseOf(evaluation);
  return (
    <>
      <State value={status} />
      <p className="text-sm text-muted">{says}</p>
      {share !== null && <Progress share={share} label={`Progress of ${titleOf(evaluation)}`} />}
    </>
  );
}

function Result({ evaluation }: { evaluation: Evaluation }) {
  const headline = headlineOf(evaluation);
  if (!headline) return <span className="text-muted">–</span>;
  const reading = headlineReading(headline);
  const { metric = "", model } = headline;
  const labels = [
    evaluation.is_incomplete && hasEnded(evaluation) && "incomplete",
    evaluation.is_subset && "a subset",
  ].filter(Boolean);
  return (
    <>
      <p>
        <span className="text-muted">{metricOf(metric).title}</span>{" "}
        <EstimateText metric={metric} estimate={model} />
      </p>
      <p className="flex flex-wrap gap-x-3 text-sm text-muted">
        {model && <span>{number(model.n)} prompts</span>}
        {labels.length > 0 && <span>{labels.join(", ")}</span>}
        {reading && <ReadingText reading={reading} />}
      </p>
      {evaluation.judge && <JudgeText judge={evaluation.judge} />}
    </>
  );
}
