/** The numbers of a run by step: asking for them, and joining history with what streams in. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import type { Point } from "@/components/chart/lines";
import { keys } from "@/features/jobs/api";
import { client, take } from "@/lib/api";

/** Points by `split:name`, such as `held_out:accuracy`. */
export type Series = Readonly<Record<string, Point[]>>;

export const BUCKETS = 800;

export async function fetchSeries(
  id: string,
  query: { keys?: string; x0?: number; x1?: number; buckets: number },
): Promise<Series> {
  const found = await take(
    client.GET("/v1/fine_tuning/jobs/{job_id}/series", {
      params: { path: { job_id: id }, query },
    }),
  );
  return Object.fromEntries(
    found.data.map(({ key, points }) => [
      key,
      points.map((point) => ({
        x: point.x1,
        y: point.mean,
        low: point.min,
        high: point.max,
      })),
    ]),
  );
}

/** The whole run, or a range of its steps, in as many buckets as the charts are wide. */
export const seriesQuery = (id: string, range: [number, number] | null, buckets: number) =>
  queryOptions({
    queryKey: [...keys.results(id), "series", range, buckets],
    queryFn: () => fetchSeries(id, range ? { x0: range[0], x1: range[1], buckets } : { buckets }),
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
  });

/** History, then the streamed points that lie beyond it and within the range: none comes twice. */
export function join(history: Series, streamed: Series, range: [number, number] | null): Series {
  const joined: Record<string, Point[]> = { ...history };
  for (const [key, points] of Object.entries(streamed)) {
    const known = history[key] ?? [];
    const last = known.at(-1)?.x ?? -1;
    const news = points.filter((point) => point.x > last && (!range || inside(range, point.x)));
    if (news.length > 0) joined[key] = [...known, ...news];
  }
  return joined;
}

const inside = ([x0, x1]: [number, number], x: number) => x >= x0 && x <= x1;

/** The last step of a split that a history holds; -1 where it has none. */
export function lastStep(series: Series, split: string): number {
  let last = -1;
  for (const [key, points] of Object.entries(series))
    if (key.startsWith(`${split}:`)) last = Math.max(last, points.at(-1)?.x ?? -1);
  return last;
}
