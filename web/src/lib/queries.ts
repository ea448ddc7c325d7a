/**
 * Queries that several features share, with one key each, so that a fetched result serves all of
 * them.
 */
import { queryOptions } from "@tanstack/react-query";
import { ApiError, client, type Schema, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

/** Uploaded preference files, the newest first; read again each second while one is checked. */
export const filesQuery = (limit = 100) =>
  queryOptions({
    queryKey: ["files", "list", limit],
    queryFn: ({ signal }) =>
      readAll((after) => {
        const query = { purpose: "fine-tune", limit, after };
        return take(client.GET("/v1/files", { params: { query }, signal }));
      }, limit),
    refetchInterval: ({ state }) =>
      state.data?.data.some((file) => file.status === "uploaded") ? 1_000 : false,
  });

/** A file's record, or null if it was deleted. */
export const existingFileQuery = (fileId: string) =>
  queryOptions({
    queryKey: ["files", "existing", fileId],
    queryFn: ({ signal }) =>
      take(
        client.GET("/v1/files/{file_id}", { params: { path: { file_id: fileId } }, signal }),
      ).catch((error: unknown) => {
        if (error instanceof ApiError && error.status === 404) return null;
        throw error;
      }),
  });

/** A file's report. It is written once, so it is read once. */
export const fileReportQuery = (fileId: string) =>
  queryOptions({
    queryKey: ["files", "report", fileId],
    queryFn: ({ signal }) =>
      take(
        client.GET("/v1/files/{file_id}/report", {
          params: { path: { file_id: fileId } },
          signal,
        }),
      ),
    staleTime: Number.POSITIVE_INFINITY,
  });

/** A worker is making the base's folder: from a hub, or from a tuned model. */
const inTheMaking = ({ status }: Schema<"ModelObject">) =>
  status === "downloading" || status === "merging";

/** Bases and tuned models; read again while a base is in the making. */
export const modelsQuery = queryOptions({
  queryKey: ["models"],
  queryFn: ({ signal }) =>
    readAll((after) => take(client.GET("/v1/models", { params: { query: { after } }, signal }))),
  refetchInterval: ({ state }) => (state.data?.data.some(inTheMaking) ? 2_000 : false),
});

/** All deployments; read again each second while one starts, otherwise every five seconds. */
export const deploymentsQuery = queryOptions({
  queryKey: ["deployments"],
  queryFn: ({ signal }) =>
    readAll((after) => {
      const query = { limit: 1000, after };
      return take(client.GET("/v1/deployments", { params: { query }, signal }));
    }),
  refetchInterval: ({ state }) =>
    state.data?.data.some(({ status }) => status === "pending" || status === "starting")
      ? 1_000
      : 5_000,
});

/** The key that this browser is signed in with. */
export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: ({ signal }) => take(client.GET("/v1/session", { signal })),
  staleTime: 60_000,
});
