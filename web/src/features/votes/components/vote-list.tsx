import { keepPreviousData, useInfiniteQuery, useQueries } from "@tanstack/react-query";
import { ErrorPanel } from "@/components/error-panel";
import { Empty, Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { comparisonQuery, type Filter, votesQuery } from "@/features/votes/api";
import { VoteCard } from "@/features/votes/components/vote-card";

/** The votes of a filter, the newest first. */
export function VoteList({ filter }: { filter: Filter }) {
  const found = useInfiniteQuery({ ...votesQuery(filter), placeholderData: keepPreviousData });
  const votes = found.data?.pages.flatMap(({ data }) => data) ?? [];
  return (
    <section aria-labelledby="list-of-votes" className="flex flex-col gap-3">
      <h2 id="list-of-votes" className="font-semibold">
        Votes, the newest first
      </h2>
      {found.error && <ErrorPanel error={found.error} retry={() => found.refetch()} />}
      {found.isPending && <Loading what="Loading the votes" />}
      {found.data && votes.length === 0 && <Empty>No vote fits this filter.</Empty>}
      {votes.map((vote) => (
        <VoteCard key={vote.id} vote={vote} />
      ))}
      {found.hasNextPage && (
        <Button
          className="self-start"
          disabled={found.isFetchingNextPage}
          onClick={() => found.fetchNextPage()}
        >
          Show older votes
        </Button>
      )}
    </section>
  );
}

/** Single votes, as those that contradict each other. */
export function ChosenVotes({ ids }: { ids: string[] }) {
  const found = useQueries({ queries: ids.map(comparisonQuery) });
  return found.map(({ data, error, refetch }, index) => {
    const id = ids[index];
    if (error) return <ErrorPanel key={id} error={error} retry={() => refetch()} />;
    if (!data) return <Loading key={id} what="Loading the vote" />;
    return <VoteCard key={id} vote={data} />;
  });
}
