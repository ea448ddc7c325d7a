import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Empty, Loading, Page } from "@/components/page";
import { Button, buttonClass } from "@/components/ui/button";
import { type Filter, rankingQuery } from "@/features/votes/api";
import { Filters } from "@/features/votes/components/filters";
import { MakeFile } from "@/features/votes/components/make-file";
import { RankingCard } from "@/features/votes/components/ranking-card";
import { ChosenVotes, VoteList } from "@/features/votes/components/vote-list";
import { CHOICES, named, REASONS } from "@/lib/vote-words";

/** Which answers people found better: models ranked, votes listed, and a file made of them. */
export function VotesPage() {
  const search = useSearch({ from: "/shell/votes" });
  const ids = search.vote?.split(",").filter(Boolean);
  return (
    <Page
      title="Votes"
      lead="Which answers people found better, in the playground and in blind votes."
      actions={
        <Link to="/playground" className={buttonClass()}>
          Vote in the playground
        </Link>
      }
    >
      {ids ? <Chosen ids={ids} /> : <All />}
    </Page>
  );
}

function Chosen({ ids }: { ids: string[] }) {
  return (
    <>
      <p className="max-w-prose">
        {ids.length > 1 &&
          "These votes are on the same answers to one prompt. If they contradict each other, take back the wrong one. "}
        <Link to="/votes" className="text-accent underline">
          All votes
        </Link>
      </p>
      <ChosenVotes ids={ids} />
    </>
  );
}

function All() {
  const search = useSearch({ from: "/shell/votes" });
  const navigate = useNavigate({ from: "/votes" });
  const { model, against, evaluation } = search;
  const filter: Filter = {
    model,
    against,
    choice: named(CHOICES, search.choice),
    reason: named(REASONS, search.reason),
    evaluation,
  };
  const isFiltered = Object.values(filter).some((value) => value !== undefined);
  const ranking = useQuery(rankingQuery(filter));
  const voted = ranking.data?.models.map((each) => each.model) ?? [];
  const isMaking = search.make !== undefined;
  const go = (next: Filter & { make?: string | undefined }) =>
    navigate({ search: next, replace: true, resetScroll: false });
  if (ranking.data?.votes === 0 && !isFiltered) return <Nothing />;
  return (
    <>
      <div className="flex flex-wrap items-center justify-between gap-3">
        <Filters
          filter={filter}
          voted={voted}
          onChange={(next) => go({ ...next, make: search.make })}
        />
        {!isMaking && (
          <Needs scope="write">
            <Button look="primary" onClick={() => go({ ...filter, make: "file" })}>
              Make a file
            </Button>
          </Needs>
        )}
      </div>
      {isMaking && (
        <MakeFile
          key={JSON.stringify(filter)}
          filter={filter}
          voted={voted}
          onClose={() => go(filter)}
        />
      )}
      {ranking.error && <ErrorPanel error={ranking.error} retry={() => ranking.refetch()} />}
      {ranking.isPending && <Loading what="Ranking the models" />}
      {ranking.data && ranking.data.votes > 0 && (
        <RankingCard
          ranking={ranking.data}
          isListNarrower={filter.choice !== undefined || filter.reason !== undefined}
        />
      )}
      <VoteList filter={filter} />
    </>
  );
}

function Nothing() {
  return (
    <Empty>
      <p className="mb-1 font-semibold text-ink">No votes yet</p>
      <p className="mx-auto mb-4 max-w-md">
        In the playground, two models answer the same question. Say which answer is better, with the
        keys 1 to 4. Votes rank the models here, and become pairs to train on.
      </p>
      <Link to="/playground" className={buttonClass("primary")}>
        Open the playground
      </Link>
    </Empty>
  );
}
