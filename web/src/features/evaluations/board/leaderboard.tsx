import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { domainOf, IntervalBar } from "@/components/interval-bar";
import { Card } from "@/components/ui/card";
import { inputClass } from "@/components/ui/field";
import { Cell, Row, Table } from "@/components/ui/table";
import { MOST_VOTES, votesQuery } from "@/features/evaluations/api";
import { DifferenceText, EstimateText } from "@/features/evaluations/components/estimate";
import { JudgeText } from "@/features/evaluations/components/judge-text";
import { votesBetween } from "@/features/evaluations/leaderboard";
import type { Evaluation } from "@/features/evaluations/objects";
import { directionOf, metricOf, sideName } from "@/features/evaluations/words";
import type { Schema } from "@/lib/api";
import { cx } from "@/lib/cx";
import { ago, number } from "@/lib/format";

type Compared = Schema<"EvaluationComparison">;
type Metric = Schema<"ComparedMetric">;

/** One row a model; `order` is that of the rows. Differences are to the first of `compared`. */
export function Leaderboard({ compared, order }: { compared: Compared; order: string[] }) {
  const navigate = useNavigate({ from: "/evaluations/leaderboard" });
  const [chosen, setChosen] = useState("");
  const votes = useQuery(votesQuery);
  const [base] = compared.evaluations;
  if (!base) return null;
  const categories = [...new Set(compared.metrics.flatMap(({ category }) => category ?? []))];
  const category = categories.includes(chosen) ? chosen : null;
  const metrics = compared.metrics.filter((metric) => metric.category === category);
  const rows = ranked(compared.evaluations, metrics[0], order);
  const voted = votes.data?.data ?? [];
  const counts = new Map(
    rows.map(({ id, model }) => [id, votesBetween(voted, model.model, base.model.model)]),
  );
  const hasVotes = [...counts.values()].some((each) => each.wins + each.draws + each.losses > 0);
  const hasJudge = rows.some(({ judge }) => judge);
  const columns = [
    "Model",
    ...metrics.map(({ metric }) => metricOf(metric).title),
    ...(hasJudge ? ["Judge"] : []),
    ...(hasVotes ? ["People’s votes"] : []),
  ];
  return (
    <Card>
      <div className="mb-3 flex flex-wrap items-center gap-x-6 gap-y-2">
        <label className="flex min-w-0 items-center gap-2">
          <span className="whitespace-nowrap">Differences to</span>
          <select
            className={cx(inputClass, "max-w-80 truncate pe-8")}
            value={base.id}
            onChange={(event) =>
              navigate({
                search: (now) => ({ ...now, base: event.target.value }),
                replace: true,
                resetScroll: false,
              })
            }
          >
            {rows.map((evaluation) => (
              <option key={evaluation.id} value={evaluation.id}>
                {nameIn(rows, evaluation)}
              </option>
            ))}
          </select>
        </label>
        {categories.length > 0 && (
          <label className="flex min-w-0 items-center gap-2">
            <span>Category</span>
            <select
              className={cx(inputClass, "max-w-64 truncate pe-8")}
              value={chosen}
              onChange={(event) => setChosen(event.target.value)}
            >
              <option value="">All prompts</option>
              {categories.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        )}
      </div>
      <Table caption="Leaderboard" columns={columns}>
        {rows.map((evaluation) => (
          <Row key={evaluation.id}>
            <Cell label="Model" className="md:max-w-72">
              <Link
                to="/evaluations/$evaluationId"
                params={{ evaluationId: evaluation.id }}
                className="font-medium break-words text-accent underline"
              >
                {sideName(evaluation.model)}
              </Link>
              <p className="text-sm text-muted">{factsOf(evaluation)}</p>
            </Cell>
            {metrics.map((metric) => (
              <Cell key={metric.metric} label={metricOf(metric.metric).title}>
                <Score metric={metric} id={evaluation.id} isBase={evaluation.id === base.id} />
              </Cell>
            ))}
            {hasJudge && (
              <Cell label="Judge">
                <JudgeText judge={evaluation.judge} />
              </Cell>
            )}
            {hasVotes && (
              <Cell label="People’s votes">
                <VotesText votes={counts.get(evaluation.id)} isBase={evaluation.id === base.id} />
              </Cell>
            )}
          </Row>
        ))}
      </Table>
      <ul className="mt-3 flex flex-col gap-1 text-sm text-muted">
        <li>In brackets: the 95% interval. A difference is paired by prompt.</li>
        {hasVotes && (
          <li>
            Votes are on answers of the model beside answers of {base.model.model} in the playground
            {votes.data?.has_more && `, among the newest ${number(MOST_VOTES)}`}.
          </li>
        )}
        {compared.notes.map(({ evaluation, message }) => (
          <li key={`${evaluation} ${message}`}>
            {nameOf(rows, evaluation)}: {message}
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** By the first metric, the best first; those without a value as they were given. */
function ranked(evaluations: Evaluation[], metric: Metric | undefined, order: string[]) {
  const value = (id: string) => {
    const found = metric?.cells.find(({ evaluation }) => evaluation === id)?.value?.value;
    return found == null ? Number.NEGATIVE_INFINITY : directionOf(metric?.metric) * found;
  };
  return [...evaluations].sort(
    (a, b) => value(b.id) - value(a.id) || order.indexOf(a.id) - order.indexOf(b.id),
  );
}

/** A model's name; if it stands on the board twice, with the time. */
function nameIn(rows: Evaluation[], { model, created_at }: Evaluation): string {
  const isTwice = rows.filter((row) => row.model.model === model.model).length > 1;
  return isTwice ? `${sideName(model)}, ${ago(created_at)}` : sideName(model);
}

function nameOf(rows: Evaluation[], id: string): string {
  const row = rows.find((each) => each.id === id);
  return row ? nameIn(rows, row) : id;
}

const factsOf = ({ baseline, is_subset, is_incomplete, created_at }: Evaluation) =>
  [
    baseline && `against ${sideName(baseline)}`,
    is_subset && "a subset",
    is_incomplete && "incomplete",
    ago(created_at),
  ]
    .filter(Boolean)
    .join(" · ");

function Score(props: { metric: Metric; id: string; isBase: boolean }) {
  const { metric, cells } = props.metric;
  const cell = cells.find(({ evaluation }) => evaluation === props.id);
  const level = metric.startsWith("win_rate") ? 0.5 : undefined;
  const domain = domainOf(
    cells.map(({ value }) => value),
    level,
  );
  return (
    <>
      <EstimateText metric={metric} estimate={cell?.value} />
      <IntervalBar estimate={cell?.value} domain={domain} level={level} />
      {props.isBase ? (
        <p className="text-sm text-muted">compared with this</p>
      ) : (
        cell?.difference && <DifferenceText metric={metric} estimate={cell.difference} />
      )}
    </>
  );
}

function VotesText(props: { votes: ReturnType<typeof votesBetween> | undefined; isBase: boolean }) {
  const { wins = 0, draws = 0, losses = 0 } = props.votes ?? {};
  if (props.isBase || wins + draws + losses === 0) return <span className="text-muted">–</span>;
  return (
    <>
      {number(wins)} won, {number(draws)} drawn, {number(losses)} lost
    </>
  );
}
