import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Square } from "lucide-react";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { Needs } from "@/components/needs";
import { Progress } from "@/components/progress";
import { Button } from "@/components/ui/button";
import { State } from "@/components/ui/state";
import { cancelEvaluation, deleteEvaluation } from "@/features/evaluations/api";
import type { Evaluation } from "@/features/evaluations/objects";
import { HELD_OUT, hasEnded, itemsOf, phaseOf } from "@/features/evaluations/words";
import { duration, moment, number } from "@/lib/format";

/** State, progress with the time left, and what can be done with an evaluation. */
export function EvaluationBar({ evaluation }: { evaluation: Evaluation }) {
  const ended = hasEnded(evaluation);
  const { share, says } = phaseOf(evaluation);
  return (
    <div className="flex min-h-9 flex-wrap items-center gap-x-4 gap-y-2 border-b border-line pb-3">
      <State value={evaluation.status} />
      {ended ? (
        <p className="text-muted">{ending(evaluation)}</p>
      ) : (
        <div className="flex min-w-64 flex-1 flex-wrap items-center gap-x-3 gap-y-1">
          <div className="w-full max-w-80">
            <Progress share={share} label="Progress of the evaluation" />
          </div>
          <p role="status" className="text-muted">
            {says}
          </p>
        </div>
      )}
      <div className="ml-auto">
        <Needs scope="write">
          {ended ? <Delete evaluation={evaluation} /> : <Cancel evaluation={evaluation} />}
        </Needs>
      </div>
    </div>
  );
}

function ending(evaluation: Evaluation): string {
  const { started_at, finished_at, counts, suite } = evaluation;
  const did = suite.name === HELD_OUT ? "measured" : "answered";
  const took = started_at && finished_at ? finished_at - started_at : null;
  return [
    counts.answered !== undefined &&
      `${number(counts.answered)} of ${number(counts.prompts)} ${itemsOf(evaluation)} ${did}`,
    took !== null && `in ${duration(took)}`,
    finished_at && `ended ${moment(finished_at)}`,
  ]
    .filter(Boolean)
    .join(", ");
}

function Cancel({ evaluation }: { evaluation: Evaluation }) {
  const queries = useQueryClient();
  return (
    <ConfirmDialog
      title="Cancel this evaluation?"
      confirm="Cancel the evaluation"
      onConfirm={() => cancelEvaluation(queries, evaluation.id)}
      trigger={
        <Button small>
          <Square aria-hidden="true" size={14} /> Cancel
        </Button>
      }
    >
      It ends without scores. Answers that were given stay stored: another evaluation of the same
      models does not ask for them again.
    </ConfirmDialog>
  );
}

function Delete({ evaluation }: { evaluation: Evaluation }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  return (
    <ConfirmDialog
      title="Delete this evaluation?"
      confirm="Delete the evaluation"
      onConfirm={async () => {
        await deleteEvaluation(queries, evaluation.id);
        await navigate({ to: "/evaluations" });
      }}
      trigger={<Button small>Delete</Button>}
    >
      Its scores and its list of items are removed. The models and the file of prompts stay.
    </ConfirmDialog>
  );
}
