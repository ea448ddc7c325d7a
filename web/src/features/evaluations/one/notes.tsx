import { isWorseThanACoin } from "@/features/evaluations/components/agreement-table";
import type { Evaluation } from "@/features/evaluations/objects";
import { notesOf } from "@/features/evaluations/words";

/** What must be known before the numbers are read: subset, incomplete, cut off, failed. */
export function Notes({ evaluation }: { evaluation: Evaluation }) {
  const notes = notesOf(evaluation);
  if (isWorseThanACoin(evaluation.judge))
    notes.unshift({
      isBad: true,
      text: "This judge agrees with people less often than a coin would: its verdicts say little.",
    });
  if (notes.length === 0) return null;
  return (
    <ul aria-label="Before you read the numbers" className="flex flex-col gap-1">
      {notes.map(({ text, isBad }) => (
        <li key={text} className="flex gap-2">
          <span aria-hidden="true" className={isBad ? "text-rejected" : "text-muted"}>
            {isBad ? "▲" : "○"}
          </span>
          <span className={isBad ? undefined : "text-muted"}>{text}</span>
        </li>
      ))}
    </ul>
  );
}
