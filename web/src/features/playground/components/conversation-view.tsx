import { useQuery } from "@tanstack/react-query";
import { Tabs } from "radix-ui";
import { useCallback, useState } from "react";
import { useLacks } from "@/components/needs";
import { bothEnded, voteNeeds } from "@/features/playground/comparison";
import { Composer } from "@/features/playground/components/composer";
import { PaneHeader } from "@/features/playground/components/pane-header";
import { ReferencePair } from "@/features/playground/components/reference-pair";
import { Opening } from "@/features/playground/components/said";
import type { Drafts } from "@/features/playground/components/settings";
import { TurnView } from "@/features/playground/components/turn-view";
import {
  type HeldOut,
  messagesFor,
  NAMES,
  type SideIndex,
  type Turn,
  unpack,
} from "@/features/playground/conversation";
import { samplingOf } from "@/features/playground/sampling";
import { type Seen, withSeen } from "@/features/playground/seen";
import { useConversation } from "@/features/playground/use-conversation";
import { useEscape } from "@/features/playground/use-escape";
import { useFollow } from "@/features/playground/use-follow";
import { useWide } from "@/features/playground/use-wide";
import { cx } from "@/lib/cx";
import { deploymentsQuery } from "@/lib/queries";

const BOTH: SideIndex[] = [0, 1];
const ALONE: [SideIndex[], SideIndex[]] = [[0], [1]];

/** Both panes and the composer. Mounted again for each conversation. */
export function ConversationView(props: {
  models: [string | undefined, string | undefined];
  onPick: (side: SideIndex, model: string) => void;
  heldOut: HeldOut | null;
  /** What the composer holds at first, where no held-out pair is asked. */
  question: string | undefined;
  samplings: Drafts;
  onSamplings: (samplings: Drafts) => void;
  isDiffed: boolean;
}) {
  const { models, heldOut, question, samplings, isDiffed } = props;
  const [start] = useState(() =>
    unpack(heldOut?.pair.prompt ?? (question ? [{ role: "user", content: question }] : [])),
  );
  const [draft, setDraft] = useState({ prompt: start.draft, system: start.system });
  const { turns, last, send, stop, voted } = useConversation();
  const [seen, setSeen] = useState<Seen>({});
  const onSeen = useCallback(
    (comparison: string, sides: SideIndex[]) => setSeen((now) => withSeen(now, comparison, sides)),
    [],
  );
  const deployments = useQuery(deploymentsQuery);
  const isBusy = last !== undefined && !bothEnded(last.comparison);
  const follow = useFollow(last);
  const isWide = useWide();

  /** `null` if none exists, `undefined` while the list is loading. */
  const deploymentOf = (model: string | undefined) =>
    deployments.data && (deployments.data.data.find((each) => each.model === model) ?? null);
  const drawn = BOTH.map((side) => samplingOf(samplings[side] ?? samplings[0]));
  const lacks = useLacks("chat");
  const missing =
    lacks ?? whatIsMissing(models, (model) => deploymentOf(model)?.status === "ready", drawn);

  const ask = (prompt: string, before: Turn[], id: number) => {
    const [a, b] = models;
    if (!a || !b || missing) return;
    const isHeldOut =
      heldOut !== null &&
      before.length === 0 &&
      prompt === start.draft &&
      draft.system === start.system;
    const said = { system: draft.system, opening: start.opening, turns: before, prompt };
    follow();
    send(
      { id, prompt, heldOut: isHeldOut ? heldOut : null, models: [a, b] },
      {
        sides: [
          { model: a, messages: messagesFor(0, said), ...drawn[0] },
          { model: b, messages: messagesFor(1, said), ...drawn[1] },
        ],
        ...(isHeldOut && { held_out: { job_id: heldOut.jobId, line: heldOut.pair.line } }),
      },
    );
  };
  const askAgain = ({ id, prompt }: Turn) =>
    ask(
      prompt,
      turns.filter((turn) => turn.id < id),
      id,
    );

  const stopOrLeave = () => {
    // Leaves the text field, so that the keys for voting work.
    if (isBusy) stop(0, 1);
    else if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
  };
  useEscape("Stop both answers, or leave the text field", stopOrLeave);

  const panes = (sides: SideIndex[]) => (
    <div className="flex flex-col gap-4">
      <div
        className={cx(
          "grid gap-4",
          sides.length === 2 && "sticky top-0 z-5 -mt-2 grid-cols-2 bg-bg py-2",
        )}
      >
        {sides.map((side) => {
          const attested = last?.comparison.sides[side].attested ?? null;
          return (
            <PaneHeader
              key={side}
              side={side}
              model={models[side]}
              deployment={deploymentOf(models[side])}
              attested={last?.models[side] === models[side] ? attested : null}
              onPick={(model) => props.onPick(side, model)}
            />
          );
        })}
      </div>
      <Opening messages={start.opening} />
      {turns.length === 0 &&
        (heldOut ? (
          <ReferencePair pair={heldOut.pair} />
        ) : (
          <p className="py-6 text-center text-muted">
            Both models are asked the same. When both have answered, say which did better.
          </p>
        ))}
      <ol className="flex flex-col gap-8">
        {turns.map((turn) => (
          <TurnView
            key={turn.id}
            turn={turn}
            sides={sides}
            models={models}
            isLast={turn === last}
            isDiffed={isDiffed}
            onStop={stop}
            onRetry={askAgain}
            onVoted={voted}
            seen={seen}
            onSeen={onSeen}
          />
        ))}
      </ol>
    </div>
  );

  return (
    // With the page's own padding, the composer would not touch the bottom.
    <div className="-mb-7 flex min-h-[calc(100dvh-15.75rem)] flex-col gap-4 md:-mb-6 md:min-h-[calc(100dvh-8rem)]">
      <div className="flex-1">{isWide ? panes(BOTH) : <TabbedPanes panes={panes} />}</div>
      <Composer
        draft={draft}
        onDraft={setDraft}
        samplings={samplings}
        onSamplings={props.onSamplings}
        isBusy={isBusy}
        missing={missing}
        canVote={!lacks && last !== undefined && voteNeeds(last.comparison) === null}
        onSend={() => {
          ask(draft.prompt, turns, (last?.id ?? 0) + 1);
          setDraft({ ...draft, prompt: "" });
        }}
        onStop={() => stop(0, 1)}
      />
    </div>
  );
}

function TabbedPanes({ panes }: { panes: (sides: SideIndex[]) => React.ReactNode }) {
  return (
    <Tabs.Root defaultValue="A" className="flex flex-col gap-3">
      <Tabs.List
        aria-label="Models"
        className="sticky top-0 z-5 -mx-4 flex border-b border-line bg-bg px-4"
      >
        {BOTH.map((side) => (
          <Tabs.Trigger
            key={side}
            value={NAMES[side]}
            className="min-h-11 flex-1 border-b-2 border-transparent font-medium text-muted data-[state=active]:border-accent data-[state=active]:text-ink"
          >
            Model {NAMES[side]}
          </Tabs.Trigger>
        ))}
      </Tabs.List>
      {BOTH.map((side) => (
        <Tabs.Content key={side} value={NAMES[side]}>
          {panes(ALONE[side])}
        </Tabs.Content>
      ))}
    </Tabs.Root>
  );
}

function whatIsMissing(
  models: (string | undefined)[],
  isReady: (model: string | undefined) => boolean,
  drawn: unknown[],
): string | null {
  const unpicked = BOTH.filter((side) => !models[side]).map((side) => NAMES[side]);
  if (unpicked.length > 0) return `Choose a model for ${unpicked.join(" and ")}.`;
  const unready = BOTH.filter((side) => !isReady(models[side])).map((side) => NAMES[side]);
  if (unready.length > 0)
    return `${unready.join(" and ")} can't answer before ${unready.length > 1 ? "they are" : "it is"} deployed.`;
  return drawn.includes(null) ? "A sampling setting is wrong." : null;
}
