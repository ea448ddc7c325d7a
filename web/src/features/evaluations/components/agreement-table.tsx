import { Cell, Row, Table } from "@/components/ui/table";
import { EstimateText } from "@/features/evaluations/components/estimate";
import type { Agreement, Estimate } from "@/features/evaluations/objects";
import { number } from "@/lib/format";

type Judged = { name: string; agreement: Record<string, Agreement> };

const LABELS: Record<string, string> = {
  llmbar: "LLMBar",
  pandalm: "PandaLM",
  votes: "Your votes",
};

export const labelsName = (labels: string) => LABELS[labels] ?? labels;

const COLUMNS = [
  "People’s labels",
  "Agrees",
  "Against a coin",
  "Right in both orders",
  "Same in both orders",
  "No verdict",
];

/** How often a judge agrees with people; one that is worse than a coin is marked. */
export function AgreementTable({ judge }: { judge: Judged }) {
  const measured = Object.entries(judge.agreement);
  if (measured.length === 0) return null;
  return (
    <Table caption={`Agreement of ${judge.name} with people`} columns={COLUMNS}>
      {measured.map(([labels, found]) => (
        <Row key={labels}>
          <Cell label="People’s labels">{labelsName(labels)}</Cell>
          <Cell label="Agrees">
            <ShareText share={found.average} />
          </Cell>
          <Cell label="Against a coin">
            <ShareText share={found.decided} />
            {found.worse_than_a_coin && <WorseThanACoin />}
          </Cell>
          <Cell label="Right in both orders">
            <ShareText share={found.both} />
          </Cell>
          <Cell label="Same in both orders">
            <ShareText share={found.equal} />
          </Cell>
          <Cell label="No verdict">
            {number(found.unparsed)} of {number((found.n ?? 0) + (found.unparsed ?? 0))} pairs
          </Cell>
        </Row>
      ))}
    </Table>
  );
}

export const ShareText = ({ share }: { share: Estimate | null | undefined }) => (
  <EstimateText metric="win_rate" estimate={share} />
);

export const isWorseThanACoin = (judge: Pick<Judged, "agreement"> | null) =>
  Object.values(judge?.agreement ?? {}).some((found) => found.worse_than_a_coin);

export const WorseThanACoin = () => (
  <strong className="block text-sm font-medium text-rejected">
    <span aria-hidden="true">✗ </span>worse than a coin
  </strong>
);
