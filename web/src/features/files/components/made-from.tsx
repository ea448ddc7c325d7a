import { Link } from "@tanstack/react-router";
import { Card } from "@/components/ui/card";
import type { Schema } from "@/lib/api";
import { number } from "@/lib/format";
import { becomesText, leftOut, votesText } from "@/lib/vote-words";

/** The votes that a file was made of, and what became of them when it was made. */
export function MadeFrom({ from: { votes, counts } }: { from: Schema<"MadeFrom"> }) {
  const { model, against, choice, reason, evaluation } = votes;
  const without = leftOut(counts);
  return (
    <Card
      title={
        <>
          Made from{" "}
          <Link
            to="/votes"
            search={{ model, against, choice, reason, evaluation }}
            className="text-accent underline"
          >
            {votesText(counts.votes)}
          </Link>
        </>
      }
    >
      <p className="max-w-prose">{becomesText(counts)}</p>
      {without.length > 0 && (
        <details className="mt-1">
          <summary className="w-fit text-muted hover:text-ink">
            {votesText(counts.votes - counts.pairs)} left out
          </summary>
          <ul className="mt-1 flex max-w-prose flex-col gap-1">
            {without.map(({ name, count, why }) => (
              <li key={name}>
                <span className="font-medium">{number(count)}</span> · {why}
              </li>
            ))}
          </ul>
        </details>
      )}
    </Card>
  );
}
