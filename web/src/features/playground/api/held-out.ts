/** Jobs that have succeeded, and their held-out pairs. */
import { queryOptions } from "@tanstack/react-query";
import { z } from "zod/mini";
import { client, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

const Scores = z.object({ log_odds_ratio: z.nullish(z.number()) });

const Pair = z.object({
  line: z.number(),
  prompt: z.array(z.object({ role: z.enum(["system", "user", "assistant"]), content: z.string() })),
  chosen: z.string(),
  rejected: z.nullish(z.string()),
  before: Scores,
  after: Scores,
});
export type Pair = z.infer<typeof Pair>;

// Jobs among which those with a result are looked for.
const NEWEST = 200;

/** Jobs with a result to talk to, the newest first. */
export const succeededJobsQuery = queryOptions({
  queryKey: ["jobs", "succeeded"],
  queryFn: ({ signal }) =>
    readAll((after) => {
      const query = { limit: NEWEST, after };
      return take(client.GET("/v1/fine_tuning/jobs", { params: { query }, signal }));
    }, NEWEST),
  select: ({ data }) =>
    data.filter((job) => job.status === "succeeded" && job.fine_tuned_model !== null),
});

/** A job's held-out pairs, those that got worse the most first. */
export const heldOutQuery = (jobId: string) =>
  queryOptions({
    queryKey: ["jobs", jobId, "held-out"],
    queryFn: async ({ signal }) => {
      const answer = await readAll((after) => {
        const params = { path: { job_id: jobId }, query: { after } };
        return take(client.GET("/v1/fine_tuning/jobs/{job_id}/pairs", { params, signal }));
      });
      // Where a run's folder is gone, its pairs have numbers and no texts.
      const pairs = answer.data.flatMap((item) => z.safeParse(Pair, item).data ?? []);
      return pairs.sort((one, other) => (change(one) ?? 0) - (change(other) ?? 0));
    },
  });

/** By how much the chosen answer gained on the rejected one, in log odds. */
export function change({ before, after }: Pair): number | null {
  const [from, to] = [before.log_odds_ratio, after.log_odds_ratio];
  return typeof from === "number" && typeof to === "number" ? to - from : null;
}
