import { useState } from "react";
import { Key } from "@/components/key";
import { Button, buttonClass } from "@/components/ui/button";
import { ChoiceField, TextField } from "@/components/ui/fields";
import type { CastVote, Comparison } from "@/features/votes/cards/api";
import { EditAnswer } from "@/features/votes/cards/edit-answer";
import { cx } from "@/lib/cx";
import { useKeys } from "@/lib/use-keys";
import { CHOICE_KEYS, CHOICES, named, REASONS, voteKeys } from "@/lib/vote-words";

// Large enough for a thumb on a phone.
const TOUCHED = "max-sm:min-h-12";

/** The vote on a card, with a reason and a note if there are any. */
export function VoteForm(props: {
  comparison: Comparison;
  isBusy: boolean;
  onVote: (vote: CastVote) => void;
  /** Takes the vote before this card back; null if there is none. */
  onUndo: (() => void) | null;
}) {
  const { comparison, isBusy, onUndo } = props;
  const [reason, setReason] = useState("");
  const [note, setNote] = useState("");
  const [isEditing, setEditing] = useState(false);
  const vote = (choice: CastVote["choice"], edit: CastVote["edit"] = null) => {
    if (isBusy) return;
    const said = { reason: named(REASONS, reason) ?? null, note: note.trim() || null };
    props.onVote({ choice, edit, ...said });
  };
  useKeys({
    ...voteKeys(vote),
    e: { does: "Edit an answer", act: () => setEditing(true) },
    ...(onUndo && { u: { does: "Take the vote before back", act: () => !isBusy && onUndo() } }),
  });
  return (
    <div className="flex flex-col gap-4">
      <fieldset className="flex min-w-0 flex-col gap-2">
        <legend className="sr-only">Which answer is better?</legend>
        <div className="grid grid-cols-2 gap-2 sm:flex sm:flex-wrap sm:justify-center">
          {CHOICE_KEYS.map(({ choice, key }) => (
            <button
              key={choice}
              type="button"
              disabled={isBusy}
              onClick={() => vote(choice)}
              className={cx(buttonClass(), TOUCHED)}
            >
              {CHOICES[choice]}
              <Key name={key} />
            </button>
          ))}
          <Button className={TOUCHED} disabled={isBusy} onClick={() => setEditing((now) => !now)}>
            Edit an answer
            <Key name="e" />
          </Button>
          <Button
            className={TOUCHED}
            disabled={isBusy || onUndo === null}
            onClick={() => onUndo?.()}
          >
            Undo the last vote
            <Key name="u" />
          </Button>
        </div>
      </fieldset>
      {isEditing && (
        <EditAnswer
          comparison={comparison}
          isBusy={isBusy}
          onSave={vote}
          onClose={() => setEditing(false)}
        />
      )}
      <div className="grid gap-4 sm:grid-cols-[14rem_1fr]">
        <ChoiceField
          name="reason"
          label="Why (optional)"
          value={reason}
          none="No reason"
          options={Object.entries(REASONS).map(([value, label]) => ({ value, label }))}
          error={null}
          onChange={setReason}
        />
        <TextField
          name="note"
          label="Note (optional)"
          value={note}
          error={null}
          onChange={setNote}
        />
      </div>
    </div>
  );
}
