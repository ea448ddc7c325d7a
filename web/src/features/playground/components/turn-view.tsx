import { useEffect, useMemo } from "react";
import { NOT_MARKED } from "@/components/word-diff";
import type { Choice } from "@/features/playground/api/comparison-events";
import { bothEnded } from "@/features/playground/comparison";
import { Answer } from "@/features/playground/components/answer";
import { ReferencePair } from "@/features/playground/components/reference-pair";
import { Said } from "@/features/playground/components/said";
import { VoteBar } from "@/features/playground/components/vote-bar";
import { isRemembered, NAMES, type SideIndex, type Turn } from "@/features/playground/conversation";
import { type Seen, unseenOf } from "@/features/playground/seen";
import { unshared } from "@/features/playground/unshared";
import { cx } from "@/lib/cx";

/** One question, the answers of the sides that are in view, and the vote on them. */
export function TurnView(props: {
  turn: Turn;
  sides: SideIndex[];
  models: (string | undefined)[];
  isLast: boolean;
  isDiffed: boolean;
  onStop: (side: SideIndex) => void;
  onRetry: (turn: Turn) => void;
  onVoted: (turn: number, choice: Choice | null) => void;
  /** The sides of each comparison whose ended answers were in view. */
  seen: Seen;
  onSeen: (comparison: string, sides: SideIndex[]) => void;
}) {
  const { turn, sides, isLast, isDiffed } = props;
  const { comparison } = turn;
  const [a, b] = comparison.sides;
  const canDiff = isDiffed && bothEnded(comparison);
  const pieces = useMemo(
    () => (canDiff ? unshared(a.text, b.text) : null),
    [canDiff, a.text, b.text],
  );
  const { id } = comparison;
  const isEnded = bothEnded(comparison);
  const { onSeen } = props;
  useEffect(() => {
    if (isEnded && id !== null) onSeen(id, sides);
  }, [isEnded, id, sides, onSeen]);
  const forgotten = sides.filter((side) => !isLast && !isRemembered(turn, side));
  return (
    <li className="flex min-w-0 flex-col gap-4">
      <Said message={{ role: "user", content: turn.prompt }} />
      {canDiff && (
        <p className="text-sm text-muted">
          {pieces ? "Underlined words are in this answer only." : NOT_MARKED}
        </p>
      )}
      <div className={cx("grid gap-4", sides.length === 2 && "grid-cols-2")}>
        {sides.map((side) => (
          <Answer
            key={side}
            side={side}
            answer={comparison.sides[side]}
            model={turn.models[side] === props.models[side] ? null : turn.models[side]}
            pieces={pieces?.[side] ?? null}
            onStop={() => props.onStop(side)}
            onRetry={isLast ? () => props.onRetry(turn) : null}
          />
        ))}
      </div>
      {forgotten.length > 0 && (
        <p className="text-sm text-muted">
          {forgotten.map((side) => NAMES[side]).join(" and ")} gave no answer, so this turn is left
          out of the history there.
        </p>
      )}
      {turn.heldOut && <ReferencePair pair={turn.heldOut.pair} />}
      {bothEnded(comparison) && (
        <VoteBar
          comparison={comparison}
          hasKeys={isLast}
          unseen={unseenOf(props.seen, id)}
          onVoted={(choice) => props.onVoted(turn.id, choice)}
        />
      )}
    </li>
  );
}
