/** Votes over the API: listed, ranked, made into a file of pairs, and taken back. */
import { infiniteQueryOptions, type QueryClient, queryOptions } from "@tanstack/react-query";
import { client, type Schema, take } from "@/lib/api";
import type { Choice, Reason } from "@/lib/vote-words";

export type Vote = Schema<"ComparisonObject">;
export type Ranking = Schema<"Ranking">;
export type Preview = Schema<"VotesPreview">;

/** Which votes are meant; all of them, without a field. */
export type Filter = {
  model?: string | undefined;
  against?: string | undefined;
  choice?: Choice | undefined;
  reason?: Reason | undefined;
  /** Blind votes on the answers of this evaluation. */
  evaluation?: string | undefined;
};

/** Everything that a vote changes. */
const ALL = ["votes"] as const;
const PAGE = 20;

const named = ({ model, against, choice, reason, evaluation }: Filter) => [
  model ?? null,
  against ?? null,
  choice ?? null,
  reason ?? null,
  evaluation ?? null,
];

/** The votes of a filter, page by page, the newest first. */
export const votesQuery = (filter: Filter) =>
  infiniteQueryOptions({
    queryKey: [...ALL, "list", ...named(filter)],
    queryFn: ({ pageParam: after, signal }) => {
      const query = { ...filter, after, limit: PAGE };
      return take(client.GET("/v1/votes", { params: { query }, signal }));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => (page.has_more ? (page.last_id ?? undefined) : undefined),
  });

/** One comparison and its vote, if it still has one. */
export const comparisonQuery = (comparison_id: string) =>
  queryOptions({
    queryKey: [...ALL, "one", comparison_id],
    queryFn: ({ signal }) =>
      take(
        client.GET("/v1/comparisons/{comparison_id}", {
          params: { path: { comparison_id } },
          signal,
        }),
      ),
  });

// Thousands of votes are ranked, or made into pairs, in seconds.
const STALE_MS = 60_000;

/** The ranking by the votes of a filter, whatever was chosen and why. */
export const rankingQuery = ({ model, against, evaluation }: Filter) =>
  queryOptions({
    queryKey: [...ALL, "ranking", ...named({ model, against, evaluation })],
    queryFn: ({ signal }) => {
      const query = { model, against, evaluation };
      return take(client.GET("/v1/votes/ranking", { params: { query }, signal }));
    },
    staleTime: STALE_MS,
  });

export const previewQuery = (filter: Filter) =>
  queryOptions({
    queryKey: [...ALL, "preview", ...named(filter)],
    queryFn: ({ signal }) => take(client.POST("/v1/votes/preview", { body: { filter }, signal })),
    staleTime: STALE_MS,
  });

/** Make a file of pairs; an empty name leaves it to the API. */
export async function makeFile(queries: QueryClient, filter: Filter, filename: string) {
  const body = { filter, filename: filename.trim() || null };
  const file = await take(client.POST("/v1/votes/files", { body }));
  queries.invalidateQueries({ queryKey: ["files"] });
  return file;
}

export async function takeBack(queries: QueryClient, comparison_id: string) {
  const params = { path: { comparison_id } };
  await take(client.DELETE("/v1/comparisons/{comparison_id}/vote", { params }));
  await queries.invalidateQueries({ queryKey: ALL });
}
