import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Loading, Page } from "@/components/page";
import { buttonClass } from "@/components/ui/button";
import { evaluationQuery } from "@/features/evaluations/api";
import type { Evaluation } from "@/features/evaluations/objects";
import { CategoriesCard } from "@/features/evaluations/one/categories-card";
import { EvaluationBar } from "@/features/evaluations/one/evaluation-bar";
import { EventsCard } from "@/features/evaluations/one/events-card";
import { Identity } from "@/features/evaluations/one/identity";
import { ItemsCard } from "@/features/evaluations/one/items-card";
import { JudgeCard } from "@/features/evaluations/one/judge-card";
import { Notes } from "@/features/evaluations/one/notes";
import { RewardsCard } from "@/features/evaluations/one/rewards-card";
import { ScoresCard } from "@/features/evaluations/one/scores-card";
import { VerdictCard } from "@/features/evaluations/one/verdict-card";
import { Why } from "@/features/evaluations/one/why";
import { useEvaluationStream } from "@/features/evaluations/use-evaluation-stream";
import { AGREEMENT, comparedInWords, hasCards, hasEnded } from "@/features/evaluations/words";
import { ago, moment } from "@/lib/format";

const PeopleCard = lazy(() => import("@/features/votes/components/people-card"));

export function EvaluationPage() {
  const { evaluationId } = useParams({ from: "/shell/evaluations/$evaluationId" });
  const { data, error, refetch } = useQuery(evaluationQuery(evaluationId));
  if (data) return <EvaluationView key={data.id} evaluation={data} />;
  return (
    <Page title="Evaluation">
      {error ? (
        <ErrorPanel error={error} retry={refetch} />
      ) : (
        <Loading what="Loading the evaluation" />
      )}
    </Page>
  );
}

function EvaluationView({ evaluation }: { evaluation: Evaluation }) {
  const { id, suite, status, created_at, gated_job } = evaluation;
  const ended = hasEnded(evaluation);
  const { broken } = useEvaluationStream(id, !ended);
  const compared = comparedInWords(evaluation);
  return (
    <Page
      title={`${suite.title}: ${compared}`}
      heading={compared}
      lead={
        <>
          {suite.title} · <span title={moment(created_at)}>{ago(created_at)}</span>
          {gated_job && (
            <>
              {" · "}
              <Link
                to="/jobs/$jobId"
                params={{ jobId: gated_job }}
                search={{ tab: "evaluations" }}
                className="text-accent underline"
              >
                for the gates of a run
              </Link>
            </>
          )}
        </>
      }
      actions={
        suite.name === AGREEMENT ? (
          <Link to="/evaluations/judges" className={buttonClass()}>
            All judges
          </Link>
        ) : (
          <>
            {hasCards(evaluation) && (
              <Needs scope="vote" lacking="hidden">
                <Link
                  to="/evaluations/$evaluationId/vote"
                  params={{ evaluationId: id }}
                  className={buttonClass("primary")}
                >
                  Vote blind
                </Link>
              </Needs>
            )}
            <Needs scope="write" lacking="hidden">
              <Link to="/evaluations/new" search={{ from: id }} className={buttonClass()}>
                New evaluation from this
              </Link>
            </Needs>
          </>
        )
      }
    >
      <Identity evaluation={evaluation} />
      {status === "failed" && <Why evaluation={evaluation} />}
      <EvaluationBar evaluation={evaluation} />
      {broken && !ended && (
        <p role="status" className="text-sm text-muted">
          The live connection broke off. Connecting again …
        </p>
      )}
      <Notes evaluation={evaluation} />
      {evaluation.scores.length > 0 && suite.name !== AGREEMENT && (
        <VerdictCard evaluation={evaluation} />
      )}
      {evaluation.scores.length > 0 && <ScoresCard evaluation={evaluation} />}
      {hasCards(evaluation) && (
        <Suspense fallback={null}>
          <PeopleCard evaluationId={id} />
        </Suspense>
      )}
      {evaluation.judge && <JudgeCard evaluation={evaluation} judge={evaluation.judge} />}
      <CategoriesCard evaluation={evaluation} />
      {evaluation.rewards && <RewardsCard evaluation={evaluation} rewards={evaluation.rewards} />}
      <ItemsCard evaluation={evaluation} />
      <EventsCard evaluation={evaluation} />
    </Page>
  );
}
