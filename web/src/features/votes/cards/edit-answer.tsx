import { useState } from "react";
import { Button } from "@/components/ui/button";
import { ChoiceField, LongTextField } from "@/components/ui/fields";
import type { CastVote, Comparison } from "@/features/votes/cards/api";
import { NAMES } from "@/features/votes/vote";
import { useKeyNotes } from "@/lib/use-keys";

/** The better answer as it should have been: it becomes the chosen one of the pair. */
export function EditAnswer(props: {
  comparison: Comparison;
  isBusy: boolean;
  onSave: (choice: CastVote["choice"], edit: CastVote["edit"]) => void;
  onClose: () => void;
}) {
  const { sides } = props.comparison;
  const [side, setSide] = useState(0);
  const given = sides[side]?.text ?? "";
  const [text, setText] = useState(given);
  const isChanged = text.trim() !== "" && text !== given;
  const choose = (chosen: string) => {
    setSide(Number(chosen));
    setText(sides[Number(chosen)]?.text ?? "");
  };
  const save = () => {
    if (isChanged) props.onSave(side === 0 ? "a" : "b", { side, text });
  };
  useKeyNotes({
    "Ctrl+Enter": "In the edited answer: save it",
    Esc: "In the edited answer: close it",
  });
  return (
    <section
      aria-label="Edit an answer"
      className="flex flex-col gap-3 rounded-lg border border-accent p-4"
      onKeyDown={(event) => {
        if (event.key === "Escape") props.onClose();
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
      }}
    >
      <ChoiceField
        name="side"
        label="The better answer"
        value={String(side)}
        options={NAMES.map((name, at) => ({ value: String(at), label: `Answer ${name}` }))}
        error={null}
        onChange={choose}
      />
      <LongTextField
        name="text"
        label="As it should be"
        hint="It becomes the chosen answer of a pair, and the other answer the rejected one. The answer that you have edited is kept with it."
        value={text}
        error={null}
        onChange={setText}
      />
      <div className="flex flex-wrap gap-2">
        <Button look="primary" disabled={!isChanged || props.isBusy} onClick={save}>
          Save and vote for {NAMES[side]}
        </Button>
        <Button onClick={props.onClose}>Close</Button>
      </div>
    </section>
  );
}
