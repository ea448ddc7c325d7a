import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { UserPlus } from "lucide-react";
import { useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Empty, Loading, Page } from "@/components/page";
import { Button, buttonClass } from "@/components/ui/button";
import { dealQuery } from "@/features/votes/cards/api";
import { type AtEnd, Dealt } from "@/features/votes/cards/dealt";
import { RatersCard } from "@/features/votes/raters/raters-card";

/** Blind votes on the answers of an evaluation: one card after the other, by keyboard. */
export function CardsPage() {
  const { evaluationId } = useParams({ from: "/shell/evaluations/$evaluationId/vote" });
  const { data, error, refetch } = useQuery(dealQuery(evaluationId));
  const [isInviting, setInviting] = useState(false);
  return (
    <Page
      title="Blind vote"
      lead={
        data
          ? `${data.voted} of at most ${data.of} cards have your vote`
          : "Two answers to one question, without their models"
      }
      actions={
        <>
          {data && !isInviting && (
            <Needs scope="admin">
              <Button onClick={() => setInviting(true)}>
                <UserPlus aria-hidden="true" size={16} /> Invite a rater
              </Button>
            </Needs>
          )}
          <Link to="/evaluations/$evaluationId" params={{ evaluationId }} className={buttonClass()}>
            The evaluation
          </Link>
        </>
      }
    >
      {isInviting && <RatersCard evaluationId={evaluationId} onClose={() => setInviting(false)} />}
      {data && <Dealt id={evaluationId} deal={data} atEnd={(can) => <AllSeen {...can} />} />}
      {!data && error && <ErrorPanel error={error} retry={refetch} />}
      {!data && !error && <Loading what="Loading the next card" />}
    </Page>
  );
}

function AllSeen(props: AtEnd) {
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
