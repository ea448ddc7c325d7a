import { Square } from "lucide-react";
import { Markdown } from "@/components/markdown";
import { Button } from "@/components/ui/button";
import { hasEnded, type Side } from "@/features/playground/comparison";
import { NAMES, type SideIndex } from "@/features/playground/conversation";
import type { Piece } from "@/features/playground/unshared";
import { number } from "@/lib/format";
import { visible } from "@/lib/visible-text";

/** One side's answer: its text, how it ended and how fast it was. */
export function Answer(props: {
  side: SideIndex;
  answer: Side;
  /** The model's name, if it is not the model that is selected now. */
  model: string | null;
  pieces: Piece[] | null;
  onStop: () => void;
  onRetry: (() => void) | null;
}) {
  const { side, answer, model, pieces } = props;
  const name = NAMES[side];
  return (
    <article
      aria-label={`Answer of ${name}`}
      aria-busy={!hasEnded(answer)}
      className="flex min-w-0 flex-col gap-3 rounded-lg border border-line bg-surface p-4"
    >
      {model && <p className="font-mono text-sm wrap-anywhere text-muted">{visible(model)}</p>}
      {pieces ? <Pieces pieces={pieces} /> : <Markdown text={answer.text} />}
      {answer.error && (
        <div
          role="alert"
          className="flex flex-wrap items-center justify-between gap-2 rounded-md border border-rejected p-3"
        >
          <p className="min-w-0 wrap-anywhere">{visible(answer.error)}</p>
          {answer.status === "failed" && props.onRetry && (
            <Button small onClick={props.onRetry}>
              Retry both
            </Button>
          )}
        </div>
      )}
      <footer className="mt-auto flex min-h-7 flex-wrap items-center justify-between gap-2 text-sm text-muted">
        <p role="status">{stateOf(answer)}</p>
        {!hasEnded(answer) && answer.status !== "stopping" && (
          <Button small onClick={props.onStop}>
            <Square aria-hidden="true" size={12} /> Stop {name}
          </Button>
        )}
      </footer>
    </article>
  );
}

function Pieces({ pieces }: { pieces: Piece[] }) {
  return (
    <p dir="auto" className="wrap-anywhere whitespace-pre-wrap">
      {pieces.map(({ text, isOnlyHere }, index) => {
        // Two equal words differ only in their place in the list.
        const key = `${index}`;
        return isOnlyHere ? (
          <mark key={key} className="bg-accent/15 text-ink underline decoration-accent">
            {visible(text)}
          </mark>
        ) : (
          <span key={key}>{visible(text)}</span>
        );
      })}
    </p>
  );
}

function stateOf({ status, ...answer }: Side): string {
  if (status === "waiting") return "Waiting for the first token …";
  if (status === "answering") return "Answering …";
  if (status === "stopping") return "Stopped here.";
  if (status === "failed") return answer.text ? "Broken off." : "No answer.";
  const measured = [
    answer.tokensPerS !== null && `${number(answer.tokensPerS, 1)} tokens/s`,
    answer.firstTokenS !== null && `first token after ${number(answer.firstTokenS, 2)} s`,
    answer.tokens !== null && (answer.tokens === 1 ? "1 token" : `${number(answer.tokens)} tokens`),
    answer.finishReason === "length" && "cut off at max tokens",
    answer.finishReason === "stopped" && "stopped by you",
  ].filter((part) => part !== false);
  return measured.join(" · ") || (answer.text ? "Ended." : "Ended without an answer.");
}
