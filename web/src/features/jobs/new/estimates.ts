/** Estimates over the API: created like a job, and polled until they have ended. */
import { queryOptions } from "@tanstack/react-query";
import { hasEnded } from "@/features/jobs/api";
import { client, type Schema, take } from "@/lib/api";

export const createEstimate = (body: Schema<"CreateJob">) =>
  take(client.POST("/v1/fine_tuning/jobs/estimate", { body }));

export const cancelEstimate = (id: string) =>
  take(
    client.POST("/v1/fine_tuning/jobs/estimate/{estimate_id}/cancel", {
      params: { path: { estimate_id: id } },
    }),
  );

/** The settings from which a run's size is counted without a device. */
export type SizeOf = {
  file: string;
  model: string;
  batch_size?: number;
  n_epochs?: number;
  max_length?: number;
};

/** What the body of a new run says of its size; settings that are left out have their defaults. */
export function sizeOf({ model, training_file, method }: Schema<"CreateJob">): SizeOf {
  const kind = String(method?.type);
  const own = (
    method as unknown as Record<string, { hyperparameters?: Record<string, unknown> }>
  )?.[kind];
  const given = own?.hyperparameters ?? {};
  const size: SizeOf = { file: training_file, model };
  for (const name of ["batch_size", "n_epochs", "max_length"] as const) {
    const value = given[name];
    if (typeof value === "number") size[name] = value;
  }
  return size;
}

/** The steps and tokens of a run, counted on a sample in seconds, and its time at a known speed. */
export const sizeQuery = ({ file, ...query }: SizeOf) =>
  queryOptions({
    queryKey: ["jobs", "sizes", file, query],
    queryFn: ({ signal }) =>
      take(
        client.GET("/v1/files/{file_id}/statistics", {
          params: { path: { file_id: file }, query },
          signal,
        }),
      ),
    staleTime: 60_000,
  });

export const estimateQuery = (id: string) =>
  queryOptions({
    queryKey: ["jobs", "estimates", id],
    queryFn: () =>
      take(
        client.GET("/v1/fine_tuning/jobs/estimate/{estimate_id}", {
          params: { path: { estimate_id: id } },
        }),
      ),
    refetchInterval: ({ state }) => (state.data && hasEnded(state.data) ? false : 1_000),
  });
