import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { Needs } from "@/components/needs";
import { Button, buttonClass } from "@/components/ui/button";
import { WordDiff } from "@/components/word-diff";
import { takeBack, type Vote } from "@/features/votes/api";
import { Folded } from "@/features/votes/components/folded";
import { askAgain, askedOf, betterSide, NAMES, voterText } from "@/features/votes/vote";
import type { Schema } from "@/lib/api";
import { cx } from "@/lib/cx";
import { ago, moment } from "@/lib/format";
import { messageText } from "@/lib/message-text";
import { sessionQuery } from "@/lib/queries";
import { visible } from "@/lib/visible-text";
import { CHOICES, REASONS } from "@/lib/vote-words";

type Side = Schema<"ComparisonSide">;

/** One vote: the question, both answers, what was voted and why. */
export function VoteCard({ vote }: { vote: Vote }) {
  const own = useQuery(sessionQuery).data?.key_id;
  const asked = askedOf(vote);
  const again = askAgain(vote);
  const { choice, reason, note } = vote;
  return (
    <article
      aria-label={`Vote of ${moment(vote.voted_at)}`}
      className="flex min-w-0 flex-col gap-4 rounded-lg border border-line bg-surface p-4"
    >
      <header className="flex flex-wrap items-start justify-between gap-3">
        <div className="min-w-0">
          <p className="font-semibold">
            {choice ? CHOICES[choice] : "The vote was taken back."}
            {reason && <span className="font-normal text-muted"> · {REASONS[reason]}</span>}
          </p>
          {vote.voted_at && (
            <p className="text-sm text-muted">
              <span title={moment(vote.voted_at)}>{ago(vote.voted_at)}</span>, by{" "}
              <span className="break-all">{visible(voterText(vote, own))}</span>
            </p>
          )}
        </div>
        <div className="flex flex-wrap gap-2">
          {again && (
            <Link to="/playground" search={again} className={buttonClass("plain", true)}>
              Ask both again
            </Link>
          )}
          {choice && <TakeBack id={vote.id} />}
        </div>
      </header>
      {asked && <Messages messages={asked} />}
      <Answers vote={vote} isAskedApart={asked === null} />
      {note && (
        <div>
          <p className="text-sm text-muted">Note</p>
          <Text>{visible(note)}</Text>
        </div>
      )}
      {vote.cut && (
        <p className="text-sm text-muted">The texts are too long for this list and were cut.</p>
      )}
    </article>
  );
}

function TakeBack({ id }: { id: string }) {
  const queries = useQueryClient();
  const undo = useMutation({ mutationFn: () => takeBack(queries, id) });
  return (
    <>
      <Needs scope="vote">
        <Button small look="quiet" disabled={undo.isPending} onClick={() => undo.mutate()}>
          Take back
        </Button>
      </Needs>
      {undo.error && (
        <p role="alert" className="basis-full text-sm text-rejected">
          {undo.error.message}
        </p>
      )}
    </>
  );
}

/** What was asked: the question in full view, earlier messages folded. */
function Messages({ messages }: { messages: Schema<"MessageObject">[] }) {
  const last = messages.at(-1);
  const earlier = messages.slice(0, -1);
  return (
    <div className="flex min-w-0 flex-col gap-2">
      {earlier.length > 0 && (
        <details>
          <summary className="w-fit text-sm text-muted hover:text-ink">
            {earlier.length === 1 ? "1 message before" : `${earlier.length} messages before`}
          </summary>
          {earlier.map((message, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: messages never move.
            <Said key={index} message={message} />
          ))}
        </details>
      )}
      {last && <Said message={last} />}
    </div>
  );
}

const Said = ({ message }: { message: Schema<"MessageObject"> }) => (
  <div className="min-w-0">
    <p className="text-sm text-muted">{message.role}</p>
    <Folded text={messageText(message)}>
      <Text>{visible(messageText(message))}</Text>
    </Folded>
  </div>
);

function Answers({ vote, isAskedApart }: { vote: Vote; isAskedApart: boolean }) {
  const better = betterSide(vote);
  return (
    <div className="grid gap-4 md:grid-cols-2">
      {vote.sides.map((side) => {
        const other = vote.sides[1 - side.side];
        return (
          <div key={side.side} className="flex min-w-0 flex-col gap-3">
            {isAskedApart && <Messages messages={side.asked.messages ?? []} />}
            <Answer
              side={side}
              rank={better === null ? null : side.side === better ? "better" : "other"}
              other={other?.text ?? ""}
            />
            {vote.edit?.side === side.side && (
              <Edit from={side.text ?? ""} to={vote.edit.text} name={NAMES[vote.edit.side] ?? ""} />
            )}
          </div>
        );
      })}
    </div>
  );
}

/** An answer; the words that only the better, or only the other one has are marked. */
function Answer(props: { side: Side; rank: "better" | "other" | null; other: string }) {
  const { side, rank, other } = props;
  const text = side.text ?? "";
  const name = NAMES[side.side] ?? "";
  return (
    <section
      aria-label={`Answer ${name}`}
      className={cx(
        "min-w-0 border-l-2 pl-3",
        rank === "better" && "border-chosen",
        rank === "other" && "border-dashed border-rejected",
      )}
    >
      <p className="text-sm break-words text-muted">
        {name}: {visible(side.model ?? "model not revealed yet")}
        {rank === "better" && <span className="font-medium text-chosen"> ✓ better</span>}
        {side.finish_reason === "length" && " · cut off at max tokens"}
      </p>
      <Folded text={text}>
        {rank === null ? (
          <Text>{visible(text)}</Text>
        ) : (
          <Text>
            {rank === "better" ? (
              <WordDiff from={visible(other)} to={visible(text)} show="to" />
            ) : (
              <WordDiff from={visible(text)} to={visible(other)} show="from" />
            )}
          </Text>
        )}
      </Folded>
    </section>
  );
}

function Edit({ from, to, name }: { from: string; to: string; name: string }) {
  return (
    <section
      aria-label={`Edit of answer ${name}`}
      className="min-w-0 border-l-2 border-chosen pl-3"
    >
      <p className="text-sm text-muted">{name} as it should be</p>
      <Folded text={to}>
        <Text>
          <WordDiff from={visible(from)} to={visible(to)} />
        </Text>
      </Folded>
    </section>
  );
}

// Not `PlainText`: it reserves the height of a screen for each text that is not in view.
const Text = ({ children }: { children: ReactNode }) => (
  <p dir="auto" className="wrap-anywhere whitespace-pre-wrap">
    {children}
  </p>
);
