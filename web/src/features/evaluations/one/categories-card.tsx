import { useState } from "react";
import { domainOf, IntervalBar } from "@/components/interval-bar";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { inputClass } from "@/components/ui/field";
import { Cell, Row, Table } from "@/components/ui/table";
import { DifferenceText, EstimateText } from "@/features/evaluations/components/estimate";
import type { Evaluation, Score } from "@/features/evaluations/objects";
import { byCategory, directionOf, metricOf } from "@/features/evaluations/words";
import { number } from "@/lib/format";

const FEW = 8;

/** A metric by category, the largest loss first; without a baseline, the worst value first. */
export function CategoriesCard({ evaluation }: { evaluation: Evaluation }) {
  const scores = byCategory(evaluation.scores);
  const metrics = [...new Set(scores.map(({ metric = "" }) => metric))];
  const [chosen, setChosen] = useState(metrics[0]);
  const [isWhole, setWhole] = useState(false);
  const metric = chosen && metrics.includes(chosen) ? chosen : metrics[0];
  if (metric === undefined) return null;
  const rows = ordered(
    scores.filter((score) => score.metric === metric),
    directionOf(metric),
  );
  const hasBaseline = rows.some(({ baseline }) => baseline);
  const hasDifference = rows.some(({ difference }) => difference);
  const level = hasDifference ? 0 : metric.startsWith("win_rate") ? 0.5 : undefined;
  const drawn = (row: Score) => (hasDifference ? row.difference : row.model);
  const domain = domainOf(rows.map(drawn), level);
  const columns = [
    "Category",
    "Model",
    ...(hasBaseline ? ["Baseline"] : []),
    ...(hasDifference ? ["Difference"] : []),
    "",
    "Prompts",
  ];
  return (
    <Card
      title="By category"
      actions={
        metrics.length > 1 && (
          <select
            aria-label="Score by category"
            className={`${inputClass} max-w-60`}
            value={metric}
            onChange={(event) => setChosen(event.target.value)}
          >
            {metrics.map((name) => (
              <option key={name} value={name}>
                {metricOf(name).title}
              </option>
            ))}
          </select>
        )
      }
    >
      <Table caption={`${metricOf(metric).title} by category`} columns={columns}>
        {rows.slice(0, isWhole ? undefined : FEW).map((row) => (
          <Row key={row.category}>
            <Cell label="Category">{row.category}</Cell>
            <Cell label="Model">
              <EstimateText metric={metric} estimate={row.model} />
            </Cell>
            {hasBaseline && (
              <Cell label="Baseline">
                <EstimateText metric={metric} estimate={row.baseline} />
              </Cell>
            )}
            {hasDifference && (
              <Cell label="Difference">
                <DifferenceText metric={metric} estimate={row.difference} />
              </Cell>
            )}
            <Cell label="">
              <IntervalBar estimate={drawn(row)} domain={domain} level={level} />
            </Cell>
            <Cell label="Prompts">{number((row.difference ?? row.model)?.n)}</Cell>
          </Row>
        ))}
      </Table>
      {rows.length > FEW && (
        <Button small className="mt-3" onClick={() => setWhole(!isWhole)}>
          {isWhole ? "Show fewer" : `Show all ${number(rows.length)} categories`}
        </Button>
      )}
    </Card>
  );
}

const ordered = (scores: Score[], direction: 1 | -1) =>
  scores.sort(
    (a, b) =>
      rank(a, direction) - rank(b, direction) || (a.category ?? "").localeCompare(b.category ?? ""),
  );

function rank({ difference, model }: Score, direction: 1 | -1): number {
  const value = difference?.value ?? model?.value;
  return value == null ? Number.MAX_VALUE : direction * value;
}
