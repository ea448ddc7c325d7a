/** The stack over the API: what waits, workers, engines, disk use, and what protects it. */
import { queryOptions } from "@tanstack/react-query";
import { ApiError, client, type Schema, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

export type System = Schema<"SystemObject">;
export type Waiting = Schema<"WaitingJob">;
export type Engine = Schema<"EngineObject">;
export type Worker = Schema<"WorkerObject">;
export type Storage = Schema<"StorageObject">;
export type Check = Schema<"Check">;

const POLL_MS = 5_000;
// Disk use is measured every ten minutes; the checks change with the settings.
const SELDOM_MS = 60_000;

export const systemQuery = queryOptions({
  queryKey: ["system"],
  queryFn: ({ signal }) => take(client.GET("/v1/system", { signal })),
  refetchInterval: POLL_MS,
});

export const workersQuery = queryOptions({
  queryKey: ["workers"],
  queryFn: async ({ signal }) => {
    const all = await readAll((after) =>
      take(client.GET("/v1/workers", { params: { query: { after } }, signal })),
    );
    return all.data;
  },
  refetchInterval: POLL_MS,
});

/** Null for keys that may not read it: those of organisations that only use the installation. */
function orNull<Data>(answer: Promise<Data>): Promise<Data | null> {
  return answer.catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 403) return null;
    throw error;
  });
}

export const storageQuery = queryOptions({
  queryKey: ["storage"],
  queryFn: ({ signal }) => orNull(take(client.GET("/v1/storage", { signal }))),
  refetchInterval: SELDOM_MS,
});

export const doctorQuery = queryOptions({
  queryKey: ["doctor"],
  queryFn: ({ signal }) => orNull(take(client.GET("/v1/doctor", { signal }))),
  refetchInterval: SELDOM_MS,
});
