import { queryOptions } from "@tanstack/react-query";
import { client, type Schema, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

export const keysQuery = queryOptions({
  queryKey: ["api-keys"],
  queryFn: ({ signal }) =>
    readAll((after) => {
      const query = { limit: 1000, after };
      return take(client.GET("/v1/api_keys", { params: { query }, signal }));
    }),
});

export const createKey = (body: { name: string; scopes: Schema<"Scope">[] }) =>
  take(client.POST("/v1/api_keys", { body }));

export const revokeKey = (keyId: string) =>
  take(client.DELETE("/v1/api_keys/{key_id}", { params: { path: { key_id: keyId } } }));
