import {
  isWorseThanACoin,
  labelsName,
  ShareText,
  WorseThanACoin,
} from "@/features/evaluations/components/agreement-table";
import type { Evaluation } from "@/features/evaluations/objects";

/** An evaluation's judge and how often it agrees with people, to stand beside its verdicts. */
export function JudgeText({ judge }: { judge: Evaluation["judge"] }) {
  if (!judge) return <span className="text-muted">–</span>;
  const measured = Object.entries(judge.agreement);
  return (
    <>
      <p className="text-sm break-words text-muted">judged by {judge.name}</p>
      {measured.length === 0 && (
        <p className="text-sm text-muted">agreement with people not measured</p>
      )}
      {measured.map(([labels, { average }]) => (
        <p key={labels} className="text-sm text-muted">
          agreement with {labels === "votes" ? "your votes" : labelsName(labels)}{" "}
          <ShareText share={average} />
        </p>
      ))}
      {isWorseThanACoin(judge) && <WorseThanACoin />}
    </>
  );
}
