import { PlainText } from "@/components/plain-text";
import { judgmentText } from "@/features/evaluations/items";
import type { Evaluation, Judgment } from "@/features/evaluations/objects";

const ORDERS = { model_first: "the model's answer first", baseline_first: "the baseline's first" };

/** The judge's replies to an item, each with its verdict and the order of the answers. */
export function Judgments(props: { evaluation: Evaluation; judgments: Judgment[] }) {
  const { evaluation, judgments } = props;
  if (judgments.length === 0) return null;
  const hasTurns = judgments.some(({ turn }) => turn !== judgments[0]?.turn);
  return (
    <div>
      <h3 className="mb-1 font-medium">What the judge said</h3>
      <ul className="flex flex-col gap-3">
        {judgments.map((judgment, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: judgments never move.
          <li key={place} className="border-l-2 border-line pl-3">
            <p>
              {hasTurns && <span className="text-muted">Turn {judgment.turn + 1}: </span>}
              {judgment.order && (
                <span className="text-muted">With {ORDERS[judgment.order]}: </span>
              )}
              <span className="font-medium">{judgmentText(judgment, evaluation)}</span>
            </p>
            {judgment.text && <PlainText text={judgment.text} />}
          </li>
        ))}
      </ul>
    </div>
  );
}
