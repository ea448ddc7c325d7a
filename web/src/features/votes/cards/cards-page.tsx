import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { ErrorPanel } from "@/components/error-panel";
import { Empty, Loading, Page } from "@/components/page";
import { Button, buttonClass } from "@/components/ui/button";
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
import { visible } from "@/lib/visible-text";

/** Blind votes on the answers of an evaluation: one card after the other, by keyboard. */
export function CardsPage() {
  const { evaluationId } = useParams({ from: "/shell/evaluations/$evaluationId/vote" });
  const { data, error, refetch } = useQuery(dealQuery(evaluationId));
  return (
    <Page
      title="Blind vote"
      lead={
        data
          ? `${data.voted} of at most ${data.of} cards have your vote`
          : "Two answers to one question, without their models"
      }
      actions={
        <Link to="/evaluations/$evaluationId" params={{ evaluationId }} className={buttonClass()}>
          The evaluation
        </Link>
      }
    >
      {data && <Dealt id={evaluationId} deal={data} />}
      {!data && error && <ErrorPanel error={error} retry={refetch} />}
      {!data && !error && <Loading what="Loading the next card" />}
    </Page>
  );
}

function Dealt({ id, deal }: { id: string; deal: Deal }) {
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
        <AllSeen
          isBusy={act.isPending}
          onUndo={undo}
          onReveal={() => act.mutate(() => reveal(id))}
        />
      )}
      {act.error && (
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

function AllSeen(props: { isBusy: boolean; onUndo: (() => void) | null; onReveal: () => void }) {
  return (
    <Empty>
      <p>You have voted on all cards of this evaluation.</p>
      {props.onUndo && (
        <p className="mt-4 flex flex-wrap justify-center gap-2">
          <Button disabled={props.isBusy} onClick={props.onUndo}>
            Undo the last vote
          </Button>
          <Button look="primary" disabled={props.isBusy} onClick={props.onReveal}>
            Reveal the last models
          </Button>
        </p>
      )}
    </Empty>
  );
}
