/** The numbers of a run by step: queries, and joining the history with streamed points. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import type { Point } from "@/components/chart/lines";
import { keys } from "@/features/jobs/api";
import { client, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

const BOTH = [
  "loss",
  "logps/chosen",
  "logps/rejected",
  "log_odds_ratio",
  "reward/chosen",
  "reward/rejected",
  "reward/margin",
] as const;
const TRAINED = ["loss/nll", "loss/preference", "grad_norm", "tokens_per_s"] as const;
const ANSWERS = ["reward/mean", "reward/sd", "kl", "lengths/answer", "entropy"] as const;
const UPDATES = ["loss/policy", "loss/value", "clip_share"] as const;
const PHASES = ["share/generation", "share/scoring", "share/update"] as const;
const INTERVAL = ["accuracy", "accuracy/low", "accuracy/high"] as const;
const MARGINS = ["margin/p05", "margin/p25", "margin/p50", "margin/p75", "margin/p95"] as const;

/** The series that training and held-out rows both have. */
export type Shared = (typeof BOTH | typeof ANSWERS)[number];

/** The series that the charts and the verdict of a run need; no others are requested. */
export type Key =
  | `train:${(typeof BOTH | typeof TRAINED | typeof ANSWERS | typeof UPDATES | typeof PHASES)[number]}`
  | `held_out:${(typeof BOTH | typeof ANSWERS | typeof INTERVAL | typeof MARGINS)[number]}`;

const READ: Key[] = [
  ...[...BOTH, ...TRAINED, ...ANSWERS, ...UPDATES, ...PHASES].map(
    (name) => `train:${name}` as const,
  ),
  ...[...BOTH, ...ANSWERS, ...INTERVAL, ...MARGINS].map((name) => `held_out:${name}` as const),
];

/** Points by `split:name`, such as `held_out:accuracy`. */
export type Series = Readonly<Record<string, Point[]>>;

/** The stored series, and the place where the job's stream continues: `Last-Event-ID`. */
export type History = { series: Series; cursor: string };

/**
 * One point per pixel of most charts, one per two pixels of the widest; each point is drawn with
 * the range it covers.
 */
export const buckets = () => Math.min(1000, Math.ceil((innerWidth * 0.375) / 100) * 100);

export async function fetchSeries(
  id: string,
  query: { keys?: string; x0?: number; x1?: number; buckets: number },
): Promise<History> {
  let cursor: string | undefined;
  const found = await readAll(async (after) => {
    const page = await take(
      client.GET("/v1/fine_tuning/jobs/{job_id}/series", {
        params: { path: { job_id: id }, query: { ...query, after } },
      }),
    );
    // The place of the first page: points that arrive while other pages are read are streamed.
    cursor ??= page.cursor;
    return page;
  });
  const series = Object.fromEntries(
    found.data.map(({ key, points }) => [
      key,
      points.map((point) => ({
        x: point.x1,
        from: point.x0,
        // The mean of other values must not hide a value that was not a number.
        y: point.finite < point.count ? null : point.mean,
        low: point.min,
        high: point.max,
      })),
    ]),
  );
  return { series, cursor: cursor ?? "" };
}

/** The whole run, or a range of its steps, in as many points as the charts have pixels. */
export const seriesQuery = (id: string, range: [number, number] | null) =>
  queryOptions({
    queryKey: [...seriesKey(id), range],
    queryFn: () =>
      fetchSeries(id, {
        keys: READ.join(","),
        buckets: buckets(),
        ...(range && { x0: range[0], x1: range[1] }),
      }),
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
  });

export const seriesKey = (id: string) => [...keys.results(id), "series"] as const;

/** The history, then the streamed points after it and within the range; no point occurs twice. */
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

/** Streamed points that are not in the history yet. */
export function beyond(history: Series, streamed: Series): Series {
  return Object.fromEntries(
    Object.entries(streamed).map(([key, points]) => {
      const last = history[key]?.at(-1)?.x ?? -1;
      return [key, (points[0]?.x ?? 0) > last ? points : points.filter(({ x }) => x > last)];
    }),
  );
}

const inside = ([x0, x1]: [number, number], x: number) => x >= x0 && x <= x1;
