import { Check } from "lucide-react";
import { Key } from "@/components/key";
import { useLacks } from "@/components/needs";
import { Button, buttonClass } from "@/components/ui/button";
import type { Choice } from "@/features/playground/api/comparison-events";
import { type Comparison, voteNeeds } from "@/features/playground/comparison";
import { VoteDetails } from "@/features/playground/components/vote-details";
import { useVote } from "@/features/playground/use-vote";
import { withChoice } from "@/features/playground/vote";
import { cx } from "@/lib/cx";
import { useKeys } from "@/lib/use-keys";
import { CHOICE_KEYS, CHOICES, voteKeys } from "@/lib/vote-words";

/** The vote for the better answer. The server stores it; another choice replaces it. */
export function VoteBar(props: {
  comparison: Comparison;
  /** The keyboard shortcuts belong to the newest turn. */
  hasKeys: boolean;
  /** The sides whose answer was not in view yet, as on a phone, which shows one at a time. */
  unseen: readonly string[];
  onVoted: (choice: Choice | null) => void;
}) {
  const { comparison, hasKeys, unseen } = props;
  const needs = voteNeeds(comparison);
  const voting = useVote(comparison.id, props.onVoted);
  const { stored } = voting;
  const choose = (choice: Choice) => voting.send(withChoice(stored, choice));
  const lacks = useLacks("vote");
  const canVote = lacks === null && needs === null && unseen.length === 0 && !voting.isPending;
  useKeys(canVote && hasKeys ? voteKeys(choose) : {});
  if (lacks) return <p className="text-center text-sm text-muted">{lacks}</p>;
  return (
    <fieldset className="flex min-w-0 flex-col gap-2">
      <legend className="sr-only">Which answer is better?</legend>
      <div className="grid grid-cols-2 gap-2 sm:flex sm:flex-wrap sm:justify-center">
        {CHOICE_KEYS.map(({ choice, key }) => {
          const isChosen = comparison.choice === choice;
          return (
            <button
              key={choice}
              type="button"
              aria-pressed={isChosen}
              disabled={!canVote}
              onClick={() => choose(choice)}
              className={cx(buttonClass(), "aria-pressed:border-accent aria-pressed:text-accent")}
            >
              {isChosen && <Check aria-hidden="true" size={14} />}
              {CHOICES[choice]}
              {hasKeys && <Key name={key} />}
            </button>
          );
        })}
      </div>
      {needs === "answers" && (
        <p className="text-center text-sm text-muted">
          One side gave no answer, so there is nothing to choose from.
        </p>
      )}
      {needs === null && unseen.length > 0 && (
        <p role="status" className="text-center text-sm text-muted">
          Read the answer of {unseen.join(" and ")}, too, before you vote.
        </p>
      )}
      {comparison.choice && (
        <p role="status" className="text-center text-sm text-muted">
          Your vote is stored. Choose again to change it, or{" "}
          <Button small disabled={voting.isPending} onClick={() => voting.send(null)}>
            take it back
          </Button>
        </p>
      )}
      {voting.error && (
        <p role="alert" className="text-center text-sm text-rejected">
          {voting.error.message}
        </p>
      )}
      {stored && (
        <VoteDetails
          comparison={comparison}
          vote={stored}
          voting={voting}
          hasKeys={hasKeys && canVote}
        />
      )}
    </fieldset>
  );
}
