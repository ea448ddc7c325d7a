/** Cards over the API: the next one, the vote on it, and what takes a vote back. */
import { queryOptions } from "@tanstack/react-query";
import { client, type Schema, take } from "@/lib/api";

export type Deal = Schema<"DealObject">;
export type Comparison = Schema<"ComparisonObject">;
export type CastVote = Schema<"CastVote">;

const of = (evaluation_id: string) => ({ params: { path: { evaluation_id } } });

/** The open card of this key. Asking again gives the same card. */
export const dealQuery = (id: string) =>
  queryOptions({
    queryKey: ["cards", id],
    queryFn: ({ signal }) =>
      take(client.POST("/v1/evaluations/{evaluation_id}/cards/next", { ...of(id), signal })),
    staleTime: Number.POSITIVE_INFINITY,
  });

export const castVote = (comparison_id: string, body: CastVote) =>
  take(
    client.POST("/v1/comparisons/{comparison_id}/vote", {
      params: { path: { comparison_id } },
      body,
    }),
  );

export const undoVote = (comparison_id: string) =>
  take(
    client.DELETE("/v1/comparisons/{comparison_id}/vote", { params: { path: { comparison_id } } }),
  );

export const reveal = (id: string) =>
  take(client.POST("/v1/evaluations/{evaluation_id}/cards/reveal", of(id)));
