/** Estimates over the API: created like a job, and polled until they have ended. */
import { queryOptions } from "@tanstack/react-query";
import { hasEnded } from "@/features/jobs/api";
import { client, type Schema, take } from "@/lib/api";

export const createEstimate = (body: Schema<"CreateJob">) =>
  take(client.POST("/v1/fine_tuning/jobs/estimate", { body }));

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
