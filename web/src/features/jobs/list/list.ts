/**
 * The list of runs, archived ones included: reads all pages once, then only runs that may have
 * changed. The filter leaves archived runs out, so that it can show them without a request.
 */
import { queryOptions } from "@tanstack/react-query";
import { getJob, isAlive, type Job, keys } from "@/features/jobs/api";
import { client, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

const POLL_MS = 2_000;
const QUIET_MS = 15_000;
const PAGE = 200;
const NEWEST = 20;
// If more old jobs than this can still change, reading whole pages is cheaper.
const SINGLY = 5;

const listPage = (limit: number, after?: string) =>
  take(
    client.GET("/v1/fine_tuning/jobs", { params: { query: { limit, after, archived: "all" } } }),
  );

async function listAll(): Promise<Job[]> {
  return (await readAll((after) => listPage(PAGE, after))).data;
}

/**
 * The newest jobs, and older ones that can still change; all jobs if there is a gap between the
 * newest and the known ones.
 */
async function refresh(known: readonly Job[]): Promise<Job[]> {
  const { data: newest, has_more } = await listPage(NEWEST);
  const ids = new Set(newest.map((job) => job.id));
  const meets = !has_more || known.some((job) => ids.has(job.id));
  const moving = known.filter((job) => !ids.has(job.id) && isAlive(job));
  if (!meets || moving.length > SINGLY) return listAll();
  return merge(known, [...newest, ...(await Promise.all(moving.map((job) => getJob(job.id))))]);
}

/** Newest first; a fresh copy replaces the known one. */
export function merge(known: readonly Job[], fresh: readonly Job[]): Job[] {
  const byId = new Map([...known, ...fresh].map((job) => [job.id, job]));
  return [...byId.values()].sort((a, b) => b.created_at - a.created_at);
}

export const jobsQuery = queryOptions({
  queryKey: keys.list,
  queryFn: ({ client: queries }) => {
    const known = queries.getQueryData<Job[]>(keys.list);
    return known ? refresh(known) : listAll();
  },
  refetchInterval: ({ state }) => (state.data?.some(isAlive) ? POLL_MS : QUIET_MS),
});
