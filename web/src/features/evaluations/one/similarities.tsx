import { Cell, Row, Table } from "@/components/ui/table";
import { type Naming, similaritiesOf } from "@/features/evaluations/items";
import type { Item } from "@/features/evaluations/objects";
import { number } from "@/lib/format";

/** How alike the samples of an item are. */
export function Similarities(props: { naming: Naming; hasBaseline: boolean; item: Item }) {
  const { naming, hasBaseline, item } = props;
  const found = similaritiesOf(item);
  if (found.length === 0) return null;
  const columns = ["Similarity", ...(hasBaseline ? [naming.theirs] : []), naming.ours];
  return (
    <div>
      <h3 className="mb-1 font-medium">How alike the answers are</h3>
      <Table caption="How alike the answers are" columns={columns}>
        {found.map(({ name, model, baseline }) => (
          <Row key={name}>
            <Cell label="Similarity">{name}</Cell>
            {hasBaseline && <Cell label="Baseline">{number(baseline, 3)}</Cell>}
            <Cell label="Model">{number(model, 3)}</Cell>
          </Row>
        ))}
      </Table>
      <p className="mt-1 text-sm text-muted">1 is the same answer. Lower is more diverse.</p>
    </div>
  );
}
