import { type ReactNode, useState } from "react";
import { Button } from "@/components/ui/button";
import { isMarkable, NOT_MARKED, WordDiff } from "@/components/word-diff";
import type { Message } from "@/features/files/api";
import { Tokens } from "@/features/files/components/tokens";
import { Masked } from "@/features/files/components/unmask-toggle";
import type { ShownRow } from "@/features/files/rows-api";
import { findingInWords } from "@/features/files/words";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { messageText, toolNames } from "@/lib/message-text";
import { visible } from "@/lib/visible-text";

// A row may hold megabytes; drawing ten of them at once would freeze the page.
const CUT = 2_000;

/**
 * A prompt with its two answers side by side; words that only one answer has are marked. The row's
 * findings stand above: a click shows all rows of a finding.
 */
export function PairView(props: {
  fileId: string;
  pair: ShownRow;
  isMarked: boolean;
  onFinding: (code: string) => void;
}) {
  const { fileId, pair, isMarked } = props;
  const [isWhole, setWhole] = useState(false);
  const [hasTokens, setTokens] = useState(false);
  const prompt = textOf(pair.prompt, "user");
  const chosen = textOf(pair.chosen, "assistant");
  const rejected = pair.rejected && textOf(pair.rejected, "assistant");
  const longest = Math.max(prompt.length, chosen.length, rejected?.length ?? 0);
  const cut = (text: string) =>
    visible(isWhole || text.length <= CUT ? text : `${text.slice(0, CUT)} …`);
  const hasMarks = isMarked && rejected !== null;
  const side = (text: string, show: "from" | "to") =>
    isMarked && rejected !== null ? (
      <WordDiff from={cut(rejected)} to={cut(chosen)} show={show} />
    ) : (
      cut(text)
    );
  return (
    <article
      aria-label={`Pair of line ${pair.line}`}
      className="flex flex-col gap-3 rounded-lg border border-line bg-bg p-3"
    >
      {pair.findings.length > 0 && (
        <ul aria-label="Findings of this row" className="flex flex-wrap gap-2">
          {pair.findings.map((code) => (
            <li key={code}>
              <Button
                small
                title="Show all rows of this finding"
                onClick={() => props.onFinding(code)}
              >
                {findingInWords(code)}
              </Button>
            </li>
          ))}
        </ul>
      )}
      {/* Above the texts, whose length it changes: the button stays under the pointer. */}
      {(pair.masked || pair.isUnmasked) && <Masked isUnmasked={pair.isUnmasked ?? false} />}
      <div>
        <p className="mb-1 flex justify-between gap-2 text-sm text-muted">
          <span className="font-medium">Prompt</span>
          <span>line {number(pair.line)}</span>
        </p>
        <p className="break-words whitespace-pre-wrap">{cut(prompt)}</p>
        {pair.tools && (
          <p className="mt-1 text-sm break-words text-muted">Tools: {toolNames(pair.tools)}</p>
        )}
      </div>
      <div className={cx("grid gap-3", rejected !== null && "md:grid-cols-2")}>
        <Answer name={rejected === null ? "Answer" : "Chosen"} text={chosen}>
          {side(chosen, "to")}
        </Answer>
        {rejected !== null && (
          <Answer name="Rejected" text={rejected}>
            {side(rejected, "from")}
          </Answer>
        )}
      </div>
      {hasMarks && (
        <p className="text-sm text-muted">
          {isMarkable(cut(rejected), cut(chosen)) ? (
            <>
              <ins className="text-chosen underline">Underlined</ins> stands only in the chosen
              answer, <del className="text-rejected line-through">struck through</del> only in the
              rejected one.
            </>
          ) : (
            NOT_MARKED
          )}
        </p>
      )}
      {pair.cut && (
        <p className="text-sm text-muted">
          This row is too large to be shown whole. Download the file to read all of it.
        </p>
      )}
      {longest > CUT && (
        <Button small className="self-start" onClick={() => setWhole(!isWhole)}>
          {isWhole ? "Show less" : `Show all, up to ${number(longest)} characters`}
        </Button>
      )}
      <Button
        small
        className="self-start"
        aria-expanded={hasTokens}
        onClick={() => setTokens(!hasTokens)}
      >
        {hasTokens ? "Hide tokens" : "Show tokens"}
      </Button>
      {hasTokens && <Tokens fileId={fileId} line={pair.line} />}
    </article>
  );
}

function Answer(props: { name: string; text: string; children: ReactNode }) {
  const isRejected = props.name === "Rejected";
  return (
    <div
      className={cx(
        "min-w-0 rounded-md border border-line border-l-2 bg-surface p-3",
        isRejected ? "border-l-rejected [border-left-style:dashed]" : "border-l-chosen",
      )}
    >
      <p className="mb-1 flex justify-between gap-2 text-sm">
        <span className={cx("font-medium", isRejected ? "text-rejected" : "text-chosen")}>
          {props.name}
        </span>
        <span className="text-muted">{words(props.text)}</span>
      </p>
      <p className="break-words whitespace-pre-wrap">{props.children}</p>
    </div>
  );
}

function words(text: string): string {
  const count = text.match(/\S+/g)?.length ?? 0;
  return count === 1 ? "1 word" : `${number(count)} words`;
}

/** The text of a single message with the expected role; otherwise each message with its role. */
export function textOf(messages: Message[], expected: string): string {
  const [first] = messages;
  if (messages.length === 1 && first?.role === expected) return messageText(first);
  return messages.map((turn) => `[${turn.role}]\n${messageText(turn)}`).join("\n\n");
}
