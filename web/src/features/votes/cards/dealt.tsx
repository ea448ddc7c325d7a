import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Card } from "@/components/ui/card";
import {
  type CastVote,
  castVote,
  type Deal,
  dealQuery,
  reveal,
  undoVote,
} from "@/features/votes/cards/api";
import { CardView } from "@/features/votes/cards/card-view";
import { VoteForm } from "@/features/votes/cards/vote-form";
import { revealedText } from "@/features/votes/cards/words";
import { isSignedOut } from "@/lib/api-error";
import { visible } from "@/lib/visible-text";

/** What can be done once all cards have a vote. */
export type AtEnd = { isBusy: boolean; onUndo: (() => void) | null; onReveal: () => void };

/** The open card and the vote on it, or what is shown at the end. */
export function Dealt(props: { id: string; deal: Deal; atEnd: (can: AtEnd) => ReactNode }) {
  const { id, deal } = props;
  const queries = useQueryClient();
  const act = useMutation({
    mutationFn: async (action: () => Promise<unknown>) => action(),
    // Also after an error: another tab may have voted.
    onSettled: () => queries.invalidateQueries({ queryKey: dealQuery(id).queryKey }),
    onSuccess: () => {
      queries.invalidateQueries({ queryKey: ["votes"] });
      window.scrollTo({ top: 0 });
    },
  });
  const { card, undoable, revealed } = deal;
  const undo = undoable ? () => act.mutate(() => undoVote(undoable.id)) : null;
  return (
    <>
      {card ? (
        <>
          <CardView card={card} />
          <VoteForm
            key={card.comparison.id}
            comparison={card.comparison}
            isBusy={act.isPending}
            onVote={(vote: CastVote) => act.mutate(() => castVote(card.comparison.id, vote))}
            onUndo={undo}
          />
        </>
      ) : (
        props.atEnd({
          isBusy: act.isPending,
          onUndo: undo,
          onReveal: () => act.mutate(() => reveal(id)),
        })
      )}
      {act.error && !isSignedOut(act.error) && (
        <p role="alert" className="text-center text-rejected">
          {act.error.message}
        </p>
      )}
      {revealed && (
        <Card title={undoable ? "The vote before the last" : "The last vote"}>
          <p role="status" className="wrap-anywhere">
            {visible(revealedText(revealed))}
          </p>
        </Card>
      )}
    </>
  );
}
