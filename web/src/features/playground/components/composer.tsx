import { ArrowUp, Square } from "lucide-react";
import { type FormEvent, type KeyboardEvent, useId, useRef } from "react";
import { Button } from "@/components/ui/button";
import { Field, inputClass } from "@/components/ui/field";
import { type Drafts, Settings } from "@/features/playground/components/settings";
import { cx } from "@/lib/cx";
import { useKeyNotes, useKeys } from "@/lib/use-keys";

export type Draft = { prompt: string; system: string };

/** One text for both sides. Enter sends it, Shift and Enter break the line. */
export function Composer(props: {
  draft: Draft;
  onDraft: (draft: Draft) => void;
  samplings: Drafts;
  onSamplings: (samplings: Drafts) => void;
  isBusy: boolean;
  /** Why nothing can be sent now, in a sentence. */
  missing: string | null;
  /** Whether the keys of the vote work once this field has lost the focus. */
  canVote: boolean;
  onSend: () => void;
  onStop: () => void;
}) {
  const { draft, onDraft, isBusy, missing } = props;
  const field = useRef<HTMLTextAreaElement>(null);
  const id = useId();
  const send = (event?: FormEvent) => {
    event?.preventDefault();
    if (isBusy || missing || draft.prompt.trim() === "") return;
    props.onSend();
    // The keys 1 to 4 vote on the answers; in this field they would be typed.
    field.current?.blur();
  };
  useKeys({ "/": { does: "Write a message", act: () => field.current?.focus() } });
  useKeyNotes({ Enter: "In the message: send it; Shift+Enter starts a new line" });
  const onKeyDown = (event: KeyboardEvent) => {
    // Enter also confirms the text of an input method.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <form
      onSubmit={send}
      className="sticky bottom-12 z-5 -mx-4 flex max-h-[70dvh] flex-col gap-2 overflow-y-auto border-t border-line bg-bg px-4 py-3 md:bottom-0 md:-mx-6 md:px-6"
    >
      <div className="flex items-end gap-2">
        <textarea
          ref={field}
          id={id}
          aria-label="Message to both models"
          aria-describedby={`${id}-hint`}
          aria-keyshortcuts="/"
          placeholder="Ask both models"
          rows={1}
          value={draft.prompt}
          onChange={(event) => onDraft({ ...draft, prompt: event.target.value })}
          onKeyDown={onKeyDown}
          className={cx(inputClass, "field-sizing-content max-h-[30dvh] resize-none py-2")}
        />
        {isBusy ? (
          <Button onClick={props.onStop}>
            <Square aria-hidden="true" size={12} /> Stop both
          </Button>
        ) : (
          <Button
            type="submit"
            look="primary"
            disabled={missing !== null || draft.prompt.trim() === ""}
          >
            <ArrowUp aria-hidden="true" size={16} /> Send
          </Button>
        )}
      </div>
      <div className="flex flex-wrap items-start justify-between gap-x-4 gap-y-1 text-sm text-muted">
        <details className="min-w-0 open:basis-full">
          <summary className="min-h-6 py-0.5">
            System prompt and sampling: {summary(draft, props.samplings)}
          </summary>
          <div className="flex flex-col gap-4 py-3 text-base text-ink">
            <Field label="System prompt" hint="Sent to both sides, before everything else.">
              {(control) => (
                <textarea
                  {...control}
                  rows={2}
                  className={cx(inputClass, "field-sizing-content max-h-[30dvh] py-2")}
                  value={draft.system}
                  onChange={(event) => onDraft({ ...draft, system: event.target.value })}
                />
              )}
            </Field>
            <Settings drafts={props.samplings} onChange={props.onSamplings} />
          </div>
        </details>
        <p id={`${id}-hint`} role="status" className={cx("py-0.5", !missing && "max-md:hidden")}>
          {missing ?? keysOf(isBusy, props.canVote)}
        </p>
      </div>
    </form>
  );
}

function keysOf(isBusy: boolean, canVote: boolean): string {
  if (isBusy) return "Esc stops both";
  const typing = "/ to type, Enter sends, Shift+Enter breaks the line";
  return canVote ? `${typing}, Esc leaves the field so that 1 to 4 vote` : typing;
}

function summary({ system }: Draft, [a, b]: Drafts): string {
  if (b) return `${system.trim() ? "set" : "none"}, each side its own`;
  return [
    system.trim() ? "set" : "none",
    a.temperature.trim() && `temperature ${a.temperature}`,
    a.max_tokens.trim() && `up to ${a.max_tokens} tokens`,
    a.seed.trim() && `seed ${a.seed}`,
  ]
    .filter(Boolean)
    .join(", ");
}
