import { PlainText } from "@/components/plain-text";
import { Cell, Row, Table } from "@/components/ui/table";
import type { Naming, Numbers, HeldOutPair as Pair } from "@/features/evaluations/items";
import type { Item } from "@/features/evaluations/objects";
import { metricOf, valueText } from "@/features/evaluations/words";
import { signed } from "@/lib/format";
import { visible } from "@/lib/visible-text";

// Whether the chosen answer leads is seen from the sign of the ratio.
const METRICS = ["log_odds_ratio", "margin", "logps_chosen", "logps_rejected"];

type Props = { naming: Naming; hasBaseline: boolean; pair: Pair; failures: Item["failures"] };

/** Both answers of a pair of the file, and how likely each side finds them. */
export function HeldOutPair({ naming, hasBaseline, pair, failures }: Props) {
  const { model, baseline } = pair;
  const sides = [
    ...(hasBaseline ? [{ name: naming.theirs, failure: failures.baseline }] : []),
    { name: naming.ours, failure: failures.model },
  ];
  const columns = ["Number", ...sides.map(({ name }) => name), ...(hasBaseline ? ["Change"] : [])];
  return (
    <>
      <div className="grid gap-4 md:grid-cols-2">
        <OneAnswer name="Chosen" text={pair.chosen} />
        <OneAnswer name="Rejected" text={pair.rejected} />
      </div>
      {sides.map(
        ({ name, failure }) =>
          failure && (
            <p key={name} className="text-muted">
              Not measured under {name}: {visible(failure)}
            </p>
          ),
      )}
      {(model || baseline) && (
        <Table caption="How likely both answers are" columns={columns}>
          {METRICS.map((metric) => (
            <Row key={metric}>
              <Cell label="Number">{metricOf(metric).title}</Cell>
              {hasBaseline && <Cell label={naming.theirs}>{shown(baseline, metric)}</Cell>}
              <Cell label={naming.ours}>{shown(model, metric)}</Cell>
              {hasBaseline && <Cell label="Change">{change(pair, metric)}</Cell>}
            </Row>
          ))}
        </Table>
      )}
    </>
  );
}

const shown = (numbers: Numbers | null, metric: string) => valueText(metric, numbers?.[metric]);

function change({ model, baseline }: Pair, metric: string): string {
  const [ours, theirs] = [model?.[metric], baseline?.[metric]];
  return ours === undefined || theirs === undefined ? "–" : signed(ours - theirs);
}

function OneAnswer({ name, text }: { name: "Chosen" | "Rejected"; text: string }) {
  const isChosen = name === "Chosen";
  return (
    <article
      aria-label={`${name} answer`}
      className={`min-w-0 border-l-2 pl-3 ${isChosen ? "border-chosen" : "border-dashed border-rejected"}`}
    >
      <p className={`text-sm ${isChosen ? "text-chosen" : "text-rejected"}`}>{name}</p>
      <PlainText text={text} />
    </article>
  );
}
