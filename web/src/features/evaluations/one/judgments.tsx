import { PlainText } from "@/components/plain-text";
import { judgmentText, type Naming } from "@/features/evaluations/items";
import type { Judgment } from "@/features/evaluations/objects";
import { visible } from "@/lib/visible-text";

/** The judge's replies to an item, each with its verdict and the order of the answers. */
export function Judgments(props: {
  naming: Naming;
  judgments: Judgment[];
  failure: string | undefined;
}) {
  const { naming, judgments, failure } = props;
  if (judgments.length === 0 && !failure) return null;
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
                <span className="text-muted">
                  {judgment.order === "model_first" ? naming.ours : naming.theirs} shown first:{" "}
                </span>
              )}
              <span className="font-medium">{judgmentText(judgment, naming)}</span>
            </p>
            {judgment.text && <PlainText text={judgment.text} />}
          </li>
        ))}
      </ul>
      {failure && <p className="mt-1 text-rejected">{visible(failure)}</p>}
    </div>
  );
}
