import { queryOptions } from "@tanstack/react-query";
import { client, take } from "@/lib/api";

/** Which first steps are done, and how many votes are in no file yet. */
export const firstStepsQuery = queryOptions({
  queryKey: ["first-steps"],
  queryFn: ({ signal }) => take(client.GET("/v1/first_steps", { signal })),
  refetchInterval: 15_000,
});
