/** Jobs that have succeeded, and their held-out pairs. */
import { queryOptions } from "@tanstack/react-query";
import type { Message } from "@/features/playground/conversation";
import { client, type Schema, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

type Stored = Schema<"PairObject">;
/** A pair whose texts still exist, with only roles that a chat request accepts. */
export type Pair = Omit<Stored, "prompt" | "chosen"> & { prompt: Message[]; chosen: string };

// The number of jobs that are searched for ones with a result.
const NEWEST = 200;

/** Jobs with a result that can be asked, the newest first. */
export const succeededJobsQuery = queryOptions({
  queryKey: ["jobs", "succeeded"],
  queryFn: ({ signal }) =>
    readAll((after) => {
      const query = { limit: NEWEST, after };
      return take(client.GET("/v1/fine_tuning/jobs", { params: { query }, signal }));
    }, NEWEST),
  select: ({ data }) =>
    data.filter(
      (job) =>
        job.status === "succeeded" && job.fine_tuned_model !== null && job.method.type !== "reward",
    ),
});

/** A run that the list does not hold: an archived one, or an old one. */
export const jobQuery = (jobId: string) =>
  queryOptions({
    queryKey: ["jobs", "named", jobId],
    queryFn: ({ signal }) =>
      take(
        client.GET("/v1/fine_tuning/jobs/{job_id}", {
          params: { path: { job_id: jobId } },
          signal,
        }),
      ),
  });

/** A job's held-out pairs, the most worsened first. */
export const heldOutQuery = (jobId: string) =>
  queryOptions({
    queryKey: ["jobs", jobId, "held-out"],
    queryFn: async ({ signal }) => {
      const answer = await readAll((after) => {
        const params = { path: { job_id: jobId }, query: { after } };
        return take(client.GET("/v1/fine_tuning/jobs/{job_id}/pairs", { params, signal }));
      });
      const pairs = answer.data.filter(canBeAsked);
      return pairs.sort((one, other) => (change(one) ?? 0) - (change(other) ?? 0));
    },
  });

const ROLES = ["system", "user", "assistant"];

/** If a run's folder was removed, its pairs have numbers but no texts. */
const canBeAsked = (pair: Stored): pair is Stored & Pair =>
  pair.chosen !== null && (pair.prompt?.every(({ role }) => ROLES.includes(role)) ?? false);

/** The change of a pair's log odds ratio: how much the chosen answer gained on the rejected one. */
export function change({ before, after }: Pick<Pair, "before" | "after">): number | null {
  const [from, to] = [before.log_odds_ratio, after.log_odds_ratio];
  return from !== null && to !== null ? to - from : null;
}
