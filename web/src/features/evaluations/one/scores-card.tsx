import { domainOf, IntervalBar } from "@/components/interval-bar";
import { Card } from "@/components/ui/card";
import { Cell, Row, Table } from "@/components/ui/table";
import {
  DifferenceText,
  EstimateText,
  ReadingText,
} from "@/features/evaluations/components/estimate";
import type { Evaluation, Score } from "@/features/evaluations/objects";
import { itemsOf, metricOf, overall, readingOf } from "@/features/evaluations/words";
import { number } from "@/lib/format";

/** Each score of all prompts: the model's, the baseline's, and their paired difference. */
export function ScoresCard({ evaluation }: { evaluation: Evaluation }) {
  const scores = overall(evaluation.scores);
  const hasBaseline = scores.some(({ baseline }) => baseline);
  const hasDifference = scores.some(({ difference }) => difference);
  const items = itemsOf(evaluation);
  const counted = items === "pairs" ? "Pairs" : "Prompts";
  const columns = [
    "Score",
    "Model",
    ...(hasBaseline ? ["Baseline"] : []),
    ...(hasDifference ? ["Difference"] : []),
    counted,
  ];
  return (
    <Card title="Scores">
      <Table caption={`Scores over all ${items}`} columns={columns}>
        {scores.map((score) => (
          <ScoreRow
            key={score.metric}
            score={score}
            hasBaseline={hasBaseline}
            hasDifference={hasDifference}
            counted={counted}
          />
        ))}
      </Table>
      <p className="mt-3 max-w-prose text-sm text-muted">
        In brackets: the 95% interval, from a bootstrap over {items}.
        {hasDifference &&
          ` A difference is paired by ${items === "pairs" ? "pair" : "prompt"}, and more than chance if its interval leaves out zero.`}
      </p>
    </Card>
  );
}

function ScoreRow(props: {
  score: Score;
  hasBaseline: boolean;
  hasDifference: boolean;
  counted: string;
}) {
  const { metric = "", model, baseline, difference } = props.score;
  const { title, means, unit } = metricOf(metric);
  const isWinRate = metric.startsWith("win_rate");
  const domain: [number, number] = unit === "share" ? [0, 1] : domainOf([model, baseline]);
  return (
    <Row>
      <Cell label="Score" className="md:max-w-72">
        <span className="font-medium">{title}</span>
        {means && <p className="text-sm text-muted">{means}</p>}
      </Cell>
      <Cell label="Model">
        <EstimateText metric={metric} estimate={model} />
        <IntervalBar estimate={model} domain={domain} level={isWinRate ? 0.5 : undefined} />
        {isWinRate && model && (
          <p>
            <ReadingText reading={readingOf(model, 0.5)} />
          </p>
        )}
      </Cell>
      {props.hasBaseline && (
        <Cell label="Baseline">
          <EstimateText metric={metric} estimate={baseline} />
          <IntervalBar estimate={baseline} domain={domain} look="baseline" />
        </Cell>
      )}
      {props.hasDifference && (
        <Cell label="Difference">
          <DifferenceText metric={metric} estimate={difference} />
        </Cell>
      )}
      <Cell label={props.counted}>{number((difference ?? model ?? baseline)?.n)}</Cell>
    </Row>
  );
}
