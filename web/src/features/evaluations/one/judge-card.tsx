import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { Card } from "@/components/ui/card";
import { AgreementTable } from "@/features/evaluations/components/agreement-table";
import { EstimateText, ReadingText } from "@/features/evaluations/components/estimate";
import type { Estimate, Evaluation, Preference } from "@/features/evaluations/objects";
import { readingOf } from "@/features/evaluations/words";
import { number, percent } from "@/lib/format";

/** What the judge prefers, how steady it is, and how often it agrees with people. */
export function JudgeCard(props: {
  evaluation: Evaluation;
  judge: NonNullable<Evaluation["judge"]>;
}) {
  const { evaluation, judge } = props;
  const { preference } = evaluation;
  const isMeasured = Object.keys(judge.agreement).length > 0;
  return (
    <Card title={`Judge: ${judge.name}`}>
      <div className="flex flex-col gap-4">
        {preference && <PreferenceBar preference={preference} />}
        {preference && (
          <Steadiness
            preference={preference}
            hasOrders={evaluation.orders === 2}
            isReward={judge.kind === "reward"}
          />
        )}
        <div>
          <h3 className="mb-1 font-medium">Agreement with people</h3>
          {isMeasured ? (
            <AgreementTable judge={judge} />
          ) : (
            <p className="max-w-prose text-muted">
              It was not measured how often this judge agrees with people, so what its verdicts are
              worth is not known.{" "}
              <Link to="/evaluations/judges" className="text-accent underline">
                Measure it
              </Link>
              .
            </p>
          )}
        </div>
      </div>
    </Card>
  );
}

const PARTS = [
  { name: "wins", fill: "var(--chosen)" },
  { name: "draws", fill: "var(--line)" },
  { name: "losses", fill: "var(--rejected)" },
] as const;

/** Wins, draws and losses of the model as one bar, with the counts in words below it. */
export function PreferenceBar({ preference }: { preference: Preference }) {
  const counts = PARTS.map(({ name, fill }) => ({ name, fill, count: preference[name] ?? 0 }));
  const total = counts.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) return <p className="text-muted">No pair of answers has a verdict.</p>;
  return (
    <div>
      <div aria-hidden="true" className="flex h-4 gap-0.5 overflow-hidden rounded-md">
        {counts.map(
          ({ name, fill, count }) =>
            count > 0 && <div key={name} style={{ flexGrow: count, backgroundColor: fill }} />,
        )}
      </div>
      <ul className="mt-2 flex flex-wrap gap-x-6 gap-y-1">
        {counts.map(({ name, fill, count }) => (
          <li key={name} className="flex items-center gap-2">
            <span
              aria-hidden="true"
              className="size-2.5 rounded-sm"
              style={{ backgroundColor: fill }}
            />
            {number(count)} {count === 1 ? ONE[name] : name}{" "}
            <span className="text-muted">({percent(count / total)})</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

const ONE = { wins: "win", draws: "draw", losses: "loss" };

function Steadiness(props: { preference: Preference; hasOrders: boolean; isReward: boolean }) {
  const { win_rate, length_controlled, flip_rate, first_wins, unparsed } = props.preference;
  return (
    <dl className="grid gap-x-4 gap-y-1 sm:grid-cols-[max-content_minmax(0,1fr)]">
      <Fact name="Win rate" estimate={win_rate}>
        {win_rate && (
          <>
            {" "}
            <ReadingText reading={readingOf(win_rate, 0.5)} />
          </>
        )}
      </Fact>
      <Fact name="Length-controlled, unregularised" estimate={length_controlled} />
      <Fact name="Verdict changes with the order" estimate={flip_rate} />
      {!props.hasOrders && !props.isReward && (
        <div className="contents">
          <dt className="text-muted">Orders</dt>
          <dd className="mb-2 sm:mb-0">
            One only: what the judge owes to the place of an answer is not known.
          </dd>
        </div>
      )}
      <Fact name="The answer shown first wins" estimate={first_wins}>
        {first_wins && ` ${placeInWords(first_wins)}`}
      </Fact>
      {!!unparsed && (
        <div className="contents">
          <dt className="text-muted">Without a verdict</dt>
          <dd className="mb-2 sm:mb-0">{number(unparsed)}</dd>
        </div>
      )}
    </dl>
  );
}

/** Whether a judge prefers a place: a judge without a side is at one half. */
function placeInWords(firstWins: Estimate): string {
  const reading = readingOf(firstWins, 0.5);
  if (reading === "better") return "The judge prefers what it sees first.";
  if (reading === "worse") return "The judge prefers what it sees last.";
  return "No preference for a place was found.";
}

function Fact(props: {
  name: string;
  estimate: Estimate | null | undefined;
  children?: ReactNode;
}) {
  if (!props.estimate) return null;
  return (
    <div className="contents">
      <dt className="text-muted">{props.name}</dt>
      <dd className="mb-2 sm:mb-0">
        <EstimateText metric="win_rate" estimate={props.estimate} />
        {props.children}
      </dd>
    </div>
  );
}
