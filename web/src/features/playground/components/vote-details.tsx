import { type FormEvent, type KeyboardEvent, useState } from "react";
import { Key } from "@/components/key";
import { Button } from "@/components/ui/button";
import { Field, inputClass } from "@/components/ui/field";
import { ChoiceField } from "@/components/ui/fields";
import type { Vote } from "@/features/playground/api/comparisons";
import type { Comparison } from "@/features/playground/comparison";
import { NAMES, type SideIndex } from "@/features/playground/conversation";
import type { useVote } from "@/features/playground/use-vote";
import { editable } from "@/features/playground/vote";
import { cx } from "@/lib/cx";
import { useKeyNotes, useKeys } from "@/lib/use-keys";
import { named, REASONS } from "@/lib/vote-words";

/** Why a vote was given, and how the better answer would be better still. */
export function VoteDetails(props: {
  comparison: Comparison;
  vote: Vote;
  voting: ReturnType<typeof useVote>;
  hasKeys: boolean;
}) {
  const { comparison, vote, voting, hasKeys } = props;
  const sides = editable(vote.choice);
  const [editing, setEditing] = useState<SideIndex | null>(null);
  const [isNoting, setNoting] = useState(false);
  // After another choice, the side may be the worse one.
  const shown = editing !== null && sides.includes(editing) ? editing : null;
  const textOf = (side: SideIndex) =>
    vote.edit?.side === side ? vote.edit.text : comparison.sides[side].text;
  const first = vote.edit ? (vote.edit.side as SideIndex) : sides[0];
  useKeys(
    hasKeys && shown === null && first !== undefined
      ? { e: { does: "Edit the better answer", act: () => setEditing(first) } }
      : {},
  );
  const save = (change: Partial<Vote>, close: () => void) =>
    voting.send({ ...vote, ...change }, { onSuccess: close });
  return (
    <div className="mx-auto flex w-full max-w-2xl flex-col gap-3">
      <div className="flex flex-wrap items-end gap-2">
        <div className="w-full sm:w-60">
          <ChoiceField
            name="reason"
            label="Reason (optional)"
            value={vote.reason ?? ""}
            none="No reason"
            options={Object.entries(REASONS).map(([value, label]) => ({ value, label }))}
            error={null}
            onChange={(reason) => voting.send({ ...vote, reason: named(REASONS, reason) ?? null })}
          />
        </div>
        <Button onClick={() => setNoting(!isNoting)} aria-expanded={isNoting}>
          {vote.note ? "Change the note" : "Add a note"}
        </Button>
        {sides.map((side) => (
          <Button key={side} aria-expanded={shown === side} onClick={() => setEditing(side)}>
            Edit {NAMES[side]} {hasKeys && side === first && <Key name="e" />}
          </Button>
        ))}
      </div>
      {vote.note && !isNoting && (
        <p className="text-sm break-words whitespace-pre-wrap text-muted">{vote.note}</p>
      )}
      {vote.edit && shown === null && (
        <p className="text-sm text-muted">
          {NAMES[vote.edit.side as SideIndex]} is edited: the edited answer is the better one.
        </p>
      )}
      {isNoting && (
        <Text
          label="Note"
          text={vote.note ?? ""}
          rows={2}
          isPending={voting.isPending}
          onSave={(note) => save({ note: note.trim() || null }, () => setNoting(false))}
          onCancel={() => setNoting(false)}
        />
      )}
      {shown !== null && (
        <Text
          key={shown}
          label={`Answer ${NAMES[shown]} as it should be`}
          text={textOf(shown)}
          rows={8}
          isPending={voting.isPending}
          onSave={(text) => {
            const isSame = text === comparison.sides[shown].text;
            save({ edit: isSame ? null : { side: shown, text } }, () => setEditing(null));
          }}
          onCancel={() => setEditing(null)}
        />
      )}
    </div>
  );
}

/** A text to write; Ctrl or Cmd with Enter saves it. */
function Text(props: {
  label: string;
  text: string;
  rows: number;
  isPending: boolean;
  onSave: (text: string) => void;
  onCancel: () => void;
}) {
  const [text, setText] = useState(props.text);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    props.onSave(text);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!props.isPending) props.onSave(text);
  };
  useKeyNotes({ "Ctrl+Enter": "In the text of a note or an edit: save it" });
  return (
    <form onSubmit={submit} className="flex flex-col gap-2">
      <Field label={props.label} hint="Ctrl+Enter saves.">
        {(control) => (
          <textarea
            {...control}
            // biome-ignore lint/a11y/noAutofocus: it opens by a key or a button, to be written in.
            autoFocus
            rows={props.rows}
            value={text}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={onKeyDown}
            className={cx(inputClass, "field-sizing-content max-h-[50dvh] py-2")}
          />
        )}
      </Field>
      <div className="flex gap-2">
        <Button type="submit" look="primary" disabled={props.isPending}>
          Save
        </Button>
        <Button look="quiet" onClick={props.onCancel}>
          Cancel
        </Button>
      </div>
    </form>
  );
}
