import { Link } from "@tanstack/react-router";
import { Cell, Row, Table } from "@/components/ui/table";
import { Share } from "@/features/votes/components/share";
import { earlyText, fromWinner, outcomesText, type Pair, votesOf } from "@/features/votes/ranking";
import { votesText } from "@/lib/vote-words";

/** How often a model wins against another one, with a link to the votes on both. */
export function PairsTable({ pairs, enough }: { pairs: Pair[]; enough: number }) {
  const hasLengths = pairs.some((pair) => pair.at_equal_length !== null);
  const columns = ["Pair", "Wins", ...(hasLengths ? ["At equal length"] : []), "Votes"];
  return (
    <div>
      <h3 className="mb-1 font-medium">Pairs of models</h3>
      <Table caption="Pairs of models" columns={columns}>
        {pairs.map(fromWinner).map((pair) => {
          const early = earlyText(pair, enough);
          return (
            <Row key={`${pair.model} ${pair.other}`}>
              <Cell label="Pair" className="md:max-w-md">
                <span className="font-medium">{pair.model}</span>
                <p className="text-sm break-words text-muted">against {pair.other}</p>
              </Cell>
              <Cell label="Wins">
                <Share estimate={pair.win_rate} />
              </Cell>
              {hasLengths && (
                <Cell label="At equal length">
                  <Share estimate={pair.at_equal_length} />
                </Cell>
              )}
              <Cell label="Votes">
                <Link
                  to="/votes"
                  search={{ model: pair.model, against: pair.other }}
                  aria-label={`${votesText(votesOf(pair))} on ${pair.model} and ${pair.other}`}
                  className="text-accent underline"
                >
                  {votesText(votesOf(pair))}
                </Link>
                <p className="text-sm text-muted">{outcomesText(pair)}</p>
                {early && <p className="text-sm text-rejected">{early}</p>}
              </Cell>
            </Row>
          );
        })}
      </Table>
    </div>
  );
}
