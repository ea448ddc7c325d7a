import { domainOf, IntervalBar } from "@/components/interval-bar";
import { Card } from "@/components/ui/card";
import { Cell, Row, Table } from "@/components/ui/table";
import type { Ranking } from "@/features/votes/api";
import { PairsTable } from "@/features/votes/components/pairs-table";
import { Share } from "@/features/votes/components/share";
import {
  agreementText,
  earlyText,
  groupsOf,
  outcomesText,
  sideText,
} from "@/features/votes/ranking";
import type { Schema } from "@/lib/api";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { votesText } from "@/lib/vote-words";

type Model = Schema<"RankedModel">;

/** Models by their votes, the pairs of them, and whether voters prefer a side. */
export function RankingCard(props: {
  ranking: Ranking;
  /** Whether the list beside it holds only some choices or reasons. */
  isListNarrower: boolean;
}) {
  const { ranking, isListNarrower } = props;
  const { models, pairs, enough } = ranking;
  const groups = groupsOf(models);
  const side = sideText(ranking.side);
  const agreement = agreementText(ranking.agreement);
  return (
    <Card title="Ranking">
      <div className="flex flex-col gap-4">
        {models.length === 0 && (
          <p className="text-muted">
            None of these votes is on two models that were asked the same, so there is nothing to
            rank.
          </p>
        )}
        {groups.length > 1 && (
          <p className="max-w-prose">
            There are {number(groups.length)} groups of models. No vote connects a model of one
            group with a model of another, so the groups can't be ranked against each other.
          </p>
        )}
        {groups.map((group, index) => (
          <Group
            key={group[0]?.group}
            name={groups.length > 1 ? `Group ${index + 1}` : null}
            models={group}
            enough={enough}
          />
        ))}
        {agreement && <p className="max-w-prose text-muted">{agreement}</p>}
        {side && (
          <p className={cx("max-w-prose", side.isWarning ? "font-medium" : "text-muted")}>
            {side.isWarning && (
              <span aria-hidden="true" className="text-rejected">
                ▲{" "}
              </span>
            )}
            {side.text}
          </p>
        )}
        {pairs.length > 0 && <PairsTable pairs={pairs} enough={enough} />}
        {models.length > 0 && <Explained ranking={ranking} isListNarrower={isListNarrower} />}
      </div>
    </Card>
  );
}

function Group(props: { name: string | null; models: Model[]; enough: number }) {
  const { name, models, enough } = props;
  const domain = domainOf(
    models.map((model) => model.against_average),
    0.5,
  );
  return (
    <div>
      {name && <h3 className="mb-1 font-medium">{name}</h3>}
      <Table
        caption={name ? `Ranking, ${name}` : "Ranking"}
        columns={["Rank", "Model", "Wins against an average model", "Votes"]}
      >
        {models.map((model, index) => (
          <Row key={model.model}>
            <Cell label="Rank" className="md:w-16">
              {number(index + 1)}
            </Cell>
            <Cell label="Model" className="font-medium md:w-2/5">
              {model.model}
            </Cell>
            <Cell label="Wins against an average model" className="md:w-1/4">
              <Share estimate={model.against_average} />
              <IntervalBar estimate={model.against_average} domain={domain} level={0.5} />
            </Cell>
            <Cell label="Votes">
              {outcomesText(model)}
              <Early text={earlyText(model, enough)} />
            </Cell>
          </Row>
        ))}
      </Table>
    </div>
  );
}

function Early({ text }: { text: string | null }) {
  return text && <p className="text-sm text-rejected">{text}</p>;
}

function Explained(props: { ranking: Ranking; isListNarrower: boolean }) {
  const { votes, counted } = props.ranking;
  return (
    <ul className="flex flex-col gap-1 text-sm text-muted">
      <li>
        In brackets: the 95% interval. Where the intervals of two models overlap, their order may be
        chance. A tie counts as half a win for each.
      </li>
      {props.isListNarrower && <li>The ranking counts votes of all choices and reasons.</li>}
      {counted < votes && (
        <li>
          {votesText(votes - counted)} of {number(votes)} {votes - counted === 1 ? "is" : "are"} not
          counted: both answers are of one model, or the sides were asked different things.
        </li>
      )}
    </ul>
  );
}
