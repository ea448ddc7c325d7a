import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useState } from "react";
import { PlainText } from "@/components/plain-text";
import { Button, buttonClass } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { isMarkable, NOT_MARKED, WordDiff } from "@/components/word-diff";
import {
  type askAgain,
  isCutOff,
  labelText,
  lengthText,
  movementOf,
  type Naming,
  pairOf,
  placesOf,
} from "@/features/evaluations/items";
import type { Answer, Item } from "@/features/evaluations/objects";
import { Checks } from "@/features/evaluations/one/checks";
import { HeldOutPair } from "@/features/evaluations/one/held-out-pair";
import { Judgments } from "@/features/evaluations/one/judgments";
import { Similarities } from "@/features/evaluations/one/similarities";
import { cx } from "@/lib/cx";
import { messageText } from "@/lib/message-text";
import { useKeys } from "@/lib/use-keys";
import { useStartInView } from "@/lib/use-start-in-view";
import { visible } from "@/lib/visible-text";

type Props = {
  naming: Naming;
  hasBaseline: boolean;
  item: Item;
  /** Where the question can be asked again; null if it can't. */
  again: ReturnType<typeof askAgain>;
  close: () => void;
};

/** One prompt: both answers (or the pair of the file) beside each other, what was checked, and what the judge said. */
export function ItemDetail({ naming, hasBaseline, item, again, close }: Props) {
  const box = useStartInView<HTMLDivElement>(item.id, true);
  const [isDiff, setDiff] = useState(false);
  const label = labelText(item);
  const pair = pairOf(item);
  const canDiff = hasBaseline && !pair;
  useKeys(
    canDiff
      ? { d: { does: "Mark what differs, or stop marking", act: () => setDiff((now) => !now) } }
      : {},
  );
  const { mark, word, className } = naming.movements[movementOf(item)];
  return (
    <div ref={box} className="scroll-mt-4 scroll-mb-20">
      <Card
        title={
          <>
            <span className="whitespace-nowrap">Line {item.line}</span>{" "}
            {hasBaseline && (
              <span className={cx("ml-2 inline-block font-normal", className)}>
                <span aria-hidden="true">{mark}</span> {word}
              </span>
            )}{" "}
            {item.category && (
              <span className="ml-2 inline-block font-normal break-all text-muted">
                {item.category}
              </span>
            )}
          </>
        }
        actions={
          <div className="flex flex-wrap gap-2">
            {again && (
              <Link to="/playground" search={again} className={buttonClass("plain", true)}>
                Ask both again and vote
              </Link>
            )}
            {canDiff && (
              <Button small aria-pressed={isDiff} onClick={() => setDiff(!isDiff)}>
                {isDiff ? "Plain answers" : "Mark the differences"}
                <kbd className="font-mono text-sm text-muted">d</kbd>
              </Button>
            )}
            <Button small look="quiet" aria-label="Close the item" onClick={close}>
              <X aria-hidden="true" size={16} />
            </Button>
          </div>
        }
      >
        <div className="flex flex-col gap-5">
          {item.turns.map((messages, turn) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: turns never move.
            <div key={turn} className="flex flex-col gap-3">
              {messages.map((message, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: nor do a turn's messages.
                <div key={index}>
                  <p className="text-sm text-muted">{message.role}</p>
                  <PlainText text={messageText(message)} />
                </div>
              ))}
              {!pair &&
                placesOf(item, turn).map((place, sample, { length }) => (
                  <Answers
                    key={place}
                    naming={naming}
                    hasBaseline={hasBaseline}
                    item={item}
                    place={place}
                    sample={length > 1 ? sample + 1 : null}
                    isDiff={isDiff}
                  />
                ))}
            </div>
          ))}
          {pair && (
            <HeldOutPair
              naming={naming}
              hasBaseline={hasBaseline}
              pair={pair}
              failures={item.failures}
            />
          )}
          {label && <p className="font-medium">{label}</p>}
          <Similarities naming={naming} hasBaseline={hasBaseline} item={item} />
          <Checks naming={naming} hasBaseline={hasBaseline} item={item} />
          <Judgments naming={naming} judgments={item.judgments} failure={item.failures.judge} />
        </div>
      </Card>
    </div>
  );
}

function Answers(props: {
  naming: Naming;
  hasBaseline: boolean;
  item: Item;
  /** Of the answers among all of the item's. */
  place: number;
  /** From 1; null where a prompt is asked once. */
  sample: number | null;
  isDiff: boolean;
}) {
  const { naming, hasBaseline, item, place, sample, isDiff } = props;
  const { failures } = item;
  const theirs = item.baseline_answers[place];
  const ours = item.answers[place];
  const named = (name: string) => (sample === null ? name : `${name}, sample ${sample}`);
  const diff = isDiff && theirs && ours ? { from: theirs.text, to: ours.text } : null;
  const isUnmarked = diff && !isMarkable(visible(diff.from), visible(diff.to));
  const drawn = [
    hasBaseline && (
      <OneAnswer
        key="theirs"
        name={named(naming.theirs)}
        side="from"
        answer={theirs}
        failure={failures.baseline}
        diff={diff}
      />
    ),
    <OneAnswer
      key="ours"
      name={named(naming.ours)}
      side="to"
      answer={ours}
      failure={failures.model}
      diff={diff}
    />,
  ];
  return (
    <div className={cx("grid gap-4", hasBaseline && "md:grid-cols-2")}>
      {isUnmarked && <p className="text-sm text-muted md:col-span-2">{NOT_MARKED}</p>}
      {naming.isOursFirst ? drawn.reverse() : drawn}
    </div>
  );
}

function OneAnswer(props: {
  name: string;
  side: "from" | "to";
  answer: Answer | null | undefined;
  failure: string | undefined;
  diff: { from: string; to: string } | null;
}) {
  const { name, side, answer, failure, diff } = props;
  return (
    <article
      aria-label={`Answer of ${name}`}
      className={cx(
        "min-w-0 border-l-2 pl-3",
        side === "to" ? "border-chosen" : "border-dashed border-rejected",
      )}
    >
      <p className={cx("text-sm break-words", side === "to" ? "text-chosen" : "text-rejected")}>
        {name}{" "}
        {answer && (
          <span className={isCutOff(answer) ? "font-medium text-rejected" : "text-muted"}>
            {lengthText(answer)}
          </span>
        )}
      </p>
      {answer?.thought && (
        <details className="my-1 text-sm">
          <summary className="w-fit text-muted hover:text-ink">Its thought</summary>
          <PlainText text={answer.thought} />
        </details>
      )}
      {!answer && (
        <p className="text-muted">
          {failure ? `No answer: ${visible(failure)}` : "No answer was given."}
        </p>
      )}
      {answer && answer.text === "" && <p className="text-muted">An empty answer.</p>}
      {answer &&
        (diff ? (
          <p className="wrap-anywhere whitespace-pre-wrap">
            <WordDiff from={visible(diff.from)} to={visible(diff.to)} show={side} />
          </p>
        ) : (
          <PlainText text={answer.text} />
        ))}
    </article>
  );
}
