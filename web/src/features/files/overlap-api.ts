/** Compares the prompts of a file with those of other files. */
import { queryOptions } from "@tanstack/react-query";
import { client, type Schema, take } from "@/lib/api";

export type Overlaps = Schema<"FileOverlaps">;

/** Takes seconds, so it runs only when it is asked for; leaving the page aborts it. */
export const overlapsQuery = (fileId: string, against: readonly string[], unmask: boolean) =>
  queryOptions({
    queryKey: ["files", "overlaps", fileId, against, { unmask }],
    queryFn: ({ signal }): Promise<Overlaps> =>
      take(
        client.GET("/v1/files/{file_id}/overlaps", {
          params: { path: { file_id: fileId }, query: { against: [...against], unmask } },
          signal,
        }),
      ),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
