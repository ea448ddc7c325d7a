import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { Button, buttonClass } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { checkpointsQuery, type Job } from "@/features/jobs/api";
import { isJudge } from "@/features/jobs/job";
import { FATES, type Judged } from "@/features/jobs/run/pairs";
import { cx } from "@/lib/cx";
import { number, signed } from "@/lib/format";
import { messageText } from "@/lib/message-text";
import { useStartInView } from "@/lib/use-start-in-view";
import { visible } from "@/lib/visible-text";

/** One held-out pair: the prompt, both answers, and its change during the run. */
export function PairDetail(props: { job: Job; pair: Judged; close: () => void }) {
  const { job, pair } = props;
  const { data: saved } = useQuery(checkpointsQuery(job.id));
  const tuned = job.fine_tuned_model ?? saved?.[0]?.fine_tuned_model_checkpoint;
  const box = useStartInView<HTMLDivElement>(pair.line, true);
  return (
    <div ref={box} className="scroll-mt-24 scroll-mb-20">
      <Card
        title={`Line ${pair.line}: ${FATES[pair.fate]}`}
        actions={
          <div className="flex gap-2">
            {tuned && !isJudge(job) && (
              <Link
                to="/playground"
                search={{ a: job.model, b: tuned, job: job.id, line: String(pair.line) }}
                className={buttonClass("primary", true)}
              >
                Ask both models
              </Link>
            )}
            <Button small look="quiet" aria-label="Close the pair" onClick={props.close}>
              <X aria-hidden="true" size={16} />
            </Button>
          </div>
        }
      >
        {pair.prompt?.map((message, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a prompt's turns never move.
          <div key={index} className="mb-3">
            <p className="text-sm text-muted">{message.role}</p>
            <p className="whitespace-pre-wrap break-words">{visible(messageText(message))}</p>
          </div>
        ))}
        <div className="grid gap-4 md:grid-cols-2">
          <Answer side="chosen" text={pair.chosen} />
          <Answer side="rejected" text={pair.rejected} />
        </div>
        <Numbers pair={pair} isJudge={isJudge(job)} />
      </Card>
    </div>
  );
}

export function Answer({ side, text }: { side: "chosen" | "rejected"; text?: string | null }) {
  const isChosen = side === "chosen";
  return (
    <div
      className={cx(
        "min-w-0 border-l-2 pl-3",
        isChosen ? "border-chosen" : "border-dashed border-rejected",
      )}
    >
      <p className={cx("text-sm", isChosen ? "text-chosen" : "text-rejected")}>{side}</p>
      <p className="whitespace-pre-wrap break-words">{text ? visible(text) : "–"}</p>
    </div>
  );
}

function Numbers(props: { pair: Judged; isJudge: boolean }) {
  const { before, after } = props.pair;
  const margin = (at: typeof before) => signed(at.log_odds_ratio);
  const tokens = [
    { name: "Log odds ratio", of: margin },
    { name: "Log-prob of chosen", of: (at: typeof before) => number(at.logps_chosen) },
    { name: "Log-prob of rejected", of: (at: typeof before) => number(at.logps_rejected) },
    { name: "NLL a token", of: (at: typeof before) => number(at.nll) },
  ];
  // A reward model has no log-probs: its margin is a difference of two rewards.
  const rows = props.isJudge ? [{ name: "Reward margin", of: margin }] : tokens;
  return (
    <table className="mt-4 w-full max-w-md text-right text-sm">
      <thead>
        <tr className="text-muted">
          <td />
          <th scope="col" className="py-1 font-medium">
            Step {before.step}
          </th>
          <th scope="col" className="py-1 font-medium">
            Step {after.step}
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.name} className="border-t border-line">
            <th scope="row" className="py-1 text-left font-normal text-muted">
              {row.name}
            </th>
            <td className="py-1">{row.of(before)}</td>
            <td className="py-1">{row.of(after)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
