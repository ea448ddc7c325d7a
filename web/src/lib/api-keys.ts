/** API keys over the API: listed, made and revoked. */
import { queryOptions } from "@tanstack/react-query";
import { client, type Schema, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

const ALL = ["api-keys"] as const;

export const keysQuery = queryOptions({
  queryKey: ALL,
  queryFn: ({ signal }) =>
    readAll((after) => {
      const query = { limit: 1000, after };
      return take(client.GET("/v1/api_keys", { params: { query }, signal }));
    }),
});

/** The keys of an evaluation's raters, read again now and then: they vote meanwhile. */
export const ratersQuery = (evaluation_id: string) =>
  queryOptions({
    queryKey: [...ALL, "raters", evaluation_id],
    queryFn: ({ signal }) =>
      readAll((after) => {
        const query = { limit: 1000, after, evaluation_id };
        return take(client.GET("/v1/api_keys", { params: { query }, signal }));
      }),
    refetchInterval: 10_000,
  });

type NewKey = { name: string; scopes: Schema<"Scope">[]; evaluation_id?: string };

export const createKey = (body: NewKey) => take(client.POST("/v1/api_keys", { body }));

export const revokeKey = (keyId: string) =>
  take(client.DELETE("/v1/api_keys/{key_id}", { params: { path: { key_id: keyId } } }));
