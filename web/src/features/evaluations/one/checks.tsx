import { Cell, Row, Table } from "@/components/ui/table";
import { checksOf, type Naming, type Outcome } from "@/features/evaluations/items";
import type { Item } from "@/features/evaluations/objects";
import { visible } from "@/lib/visible-text";

/** What IFEval checked: each instruction of the prompt, and who follows it. */
export function Checks(props: { naming: Naming; hasBaseline: boolean; item: Item }) {
  const { naming, hasBaseline, item } = props;
  const checks = checksOf(item);
  if (checks.length === 0) return null;
  const columns = ["Instruction", ...(hasBaseline ? [naming.theirs] : []), naming.ours];
  return (
    <div>
      <h3 className="mb-1 font-medium">Checked instructions</h3>
      <Table caption="Checked instructions" columns={columns}>
        {checks.map(({ kind, given, model: ours, baseline: theirs }, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: an instruction may stand twice.
          <Row key={place}>
            <Cell label="Instruction">
              <code className="font-mono text-sm break-all">{kind}</code>
              {given && <p className="text-sm text-muted">{visible(given)}</p>}
            </Cell>
            {hasBaseline && (
              <Cell label="Baseline">
                <OutcomeText outcome={theirs} />
              </Cell>
            )}
            <Cell label="Model">
              <OutcomeText outcome={ours} />
            </Cell>
          </Row>
        ))}
      </Table>
    </div>
  );
}

function OutcomeText({ outcome }: { outcome: Outcome }) {
  if (!outcome) return <span className="text-muted">not checked</span>;
  if (outcome.strict) return <span className="text-chosen">✓ followed</span>;
  return (
    <span className="text-rejected">
      ✗ not followed{outcome.loose && <span className="text-muted">, but loosely</span>}
    </span>
  );
}
