import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ErrorPanel } from "@/components/error-panel";
import { Card } from "@/components/ui/card";
import { rankingQuery } from "@/features/votes/api";
import {
  agreementText,
  earlyText,
  fromWinner,
  intervalText,
  votesOf,
} from "@/features/votes/ranking";
import type { Schema } from "@/lib/api";
import { percent } from "@/lib/format";
import { votesText } from "@/lib/vote-words";

/** What people said of an evaluation's answers, voting blind. */
export default function PeopleCard({ evaluationId: evaluation }: { evaluationId: string }) {
  const { data, error, refetch } = useQuery(rankingQuery({ evaluation }));
  if (error) return <ErrorPanel error={error} retry={refetch} />;
  if (!data) return null;
  const agreement = agreementText(data.agreement);
  return (
    <Card title="People">
      {data.votes === 0 ? (
        <p className="text-muted">
          Nobody has voted on these answers yet. In a blind vote the models’ names are hidden.
        </p>
      ) : (
        <div className="flex max-w-prose flex-col gap-2">
          {data.pairs.map((pair) => (
            <Pair
              key={`${pair.model} ${pair.other}`}
              pair={fromWinner(pair)}
              enough={data.enough}
            />
          ))}
          {agreement && <p className="text-muted">{agreement}</p>}
          <p>
            <Link to="/votes" search={{ evaluation }} className="text-accent underline">
              {votesText(data.votes)} on these answers
            </Link>
          </p>
        </div>
      )}
    </Card>
  );
}

/** `B wins 68 % (54 to 80 %) against A, 44 votes`. */
function Pair({ pair, enough }: { pair: Schema<"RankedPair">; enough: number }) {
  const { model, other, win_rate } = pair;
  const early = earlyText(pair, enough);
  const interval = win_rate && intervalText(win_rate);
  return (
    <p className="break-words">
      <span className="font-medium">
        {model} wins {percent(win_rate?.value ?? null)}
        {interval && ` (${interval})`}
      </span>{" "}
      against {other}, {early ?? votesText(votesOf(pair))}.
    </p>
  );
}
