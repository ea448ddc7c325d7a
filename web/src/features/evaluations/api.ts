/** Evaluations and suites over the API: the queries, and what changes them. */
import { infiniteQueryOptions, type QueryClient, queryOptions } from "@tanstack/react-query";
import type { Evaluation } from "@/features/evaluations/objects";
import { hasEnded } from "@/features/evaluations/words";
import { sendForm } from "@/features/files/api";
import { client, type Schema, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

const path = (evaluation_id: string) => ({ path: { evaluation_id } });

export const keys = {
  lists: ["evaluations", "list"] as const,
  one: (id: string) => ["evaluations", "one", id] as const,
  /** Its items and its events. */
  results: (id: string) => ["evaluations", "results", id] as const,
};

export type Wanted = { model?: string | undefined; suite?: string | undefined };

const POLL_MS = 2_000;
const PAGE = 100;

/** The newest evaluations, at most `limit`; read again while one of them can still change. */
export const evaluationsQuery = ({ model, suite }: Wanted, limit = PAGE) =>
  queryOptions({
    queryKey: [...keys.lists, model ?? null, suite ?? null, limit],
    queryFn: ({ signal }) =>
      readAll((after) => {
        const query = { model, suite, limit: Math.min(limit, PAGE), after };
        return take(client.GET("/v1/evaluations", { params: { query }, signal }));
      }, limit),
    refetchInterval: ({ state }) =>
      state.data?.data.some((evaluation) => !hasEnded(evaluation)) ? POLL_MS : false,
  });

export const evaluationQuery = (id: string) =>
  queryOptions({
    queryKey: keys.one(id),
    queryFn: ({ signal }) =>
      take(client.GET("/v1/evaluations/{evaluation_id}", { params: path(id), signal })),
  });

/** Which items are listed. */
export const FILTERS = ["regressed", "improved", "tied", "cut_off"] as const;
export type Filter = (typeof FILTERS)[number];

/** The items of an evaluation, page by page, the most regressed first. */
export const itemsQuery = (id: string, filter: Filter | undefined, category: string | undefined) =>
  infiniteQueryOptions({
    queryKey: [...keys.results(id), "items", filter ?? null, category ?? null],
    queryFn: ({ pageParam: after, signal }) => {
      const params = { ...path(id), query: { filter, category, after, limit: PAGE } };
      return take(client.GET("/v1/evaluations/{evaluation_id}/items", { params, signal }));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => (page.has_more ? (page.last_id ?? undefined) : undefined),
  });

export const eventsQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.results(id), "events"],
    queryFn: ({ signal }) => {
      const params = { ...path(id), query: { limit: PAGE } };
      return take(client.GET("/v1/evaluations/{evaluation_id}/events", { params, signal }));
    },
  });

/** Scores of several evaluations; differences are to the first one. */
export const comparedQuery = (ids: readonly string[]) =>
  queryOptions({
    queryKey: ["evaluations", "compared", ...ids],
    queryFn: ({ signal }) => {
      const params = { query: { ids: ids.join(",") } };
      return take(client.GET("/v1/evaluations/compare", { params, signal }));
    },
    staleTime: Number.POSITIVE_INFINITY,
  });

// They come with their texts, so not all of them are read.
export const MOST_VOTES = 500;

/** The newest votes on comparisons. */
export const votesQuery = queryOptions({
  queryKey: ["votes", MOST_VOTES],
  queryFn: ({ signal }) =>
    readAll((after) => {
      const query = { limit: MOST_VOTES, after };
      return take(client.GET("/v1/votes", { params: { query }, signal }));
    }, MOST_VOTES),
  staleTime: 60_000,
});

export const suitesQuery = queryOptions({
  queryKey: ["suites"],
  queryFn: async ({ signal }) => (await take(client.GET("/v1/suites", { signal }))).data,
  staleTime: Number.POSITIVE_INFINITY,
});

export const createEvaluation = (body: Schema<"CreateEvaluation">, idempotencyKey: string) =>
  take(
    client.POST("/v1/evaluations", {
      body,
      params: { header: { "idempotency-key": idempotencyKey } },
    }),
  );

export async function cancelEvaluation(queries: QueryClient, id: string) {
  const cancelled = await take(
    client.POST("/v1/evaluations/{evaluation_id}/cancel", { params: path(id) }),
  );
  queries.setQueryData<Evaluation>(keys.one(id), cancelled);
  queries.invalidateQueries({ queryKey: keys.lists });
}

export async function deleteEvaluation(queries: QueryClient, id: string) {
  await take(client.DELETE("/v1/evaluations/{evaluation_id}", { params: path(id) }));
  await queries.invalidateQueries({ queryKey: keys.lists });
}

const PURPOSE = "evals";

/** Files of prompts, the newest first; read again each second while one is checked. */
export const promptFilesQuery = queryOptions({
  queryKey: ["files", "prompts"],
  queryFn: ({ signal }) =>
    readAll((after) => {
      const query = { purpose: PURPOSE, limit: PAGE, after };
      return take(client.GET("/v1/files", { params: { query }, signal }));
    }, 1000),
  refetchInterval: ({ state }) =>
    state.data?.data.some((file) => file.status === "uploaded") ? 1_000 : false,
});

/** Upload a file of prompts in one request; `onSent` gets the share that was sent. */
export async function uploadPrompts(
  file: File,
  signal: AbortSignal,
  onSent: (share: number) => void,
): Promise<Schema<"FileObject">> {
  const form = new FormData();
  form.append("purpose", PURPOSE);
  form.append("file", file);
  return JSON.parse(await sendForm("/v1/files", form, signal, onSent));
}
