/** The held-out pairs of a run, before and after: judging, ordering. */
import { queryOptions } from "@tanstack/react-query";
import { keys } from "@/features/jobs/api";
import { client, type Schema, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

export type Message = Schema<"MessageObject">;
export type Pair = Schema<"PairObject">;

/** A pair whose margin is known before and after, with its change. */
export type Judged = Pair & { was: number; is: number; change: number; fate: Fate };

/**
 * lost, won: the preferred side changed; better, worse: the chosen answer is preferred as before, by
 * more or less; closer, further: so is the rejected one, by less or more.
 */
export type Fate = "better" | "worse" | "lost" | "won" | "closer" | "further";

const listPairs = (job_id: string) =>
  readAll((after) => {
    const params = { path: { job_id }, query: { after } };
    return take(client.GET("/v1/fine_tuning/jobs/{job_id}/pairs", { params }));
  });

export const pairsQuery = (jobId: string) =>
  queryOptions({
    queryKey: [...keys.results(jobId), "pairs"],
    queryFn: async () => (await listPairs(jobId)).data,
  });

export function judge(pairs: readonly Pair[]): Judged[] {
  return pairs.flatMap((pair) => {
    const was = pair.before.log_odds_ratio;
    const is = pair.after.log_odds_ratio;
    if (was === null || is === null || pair.before.step === pair.after.step) return [];
    return [{ ...pair, was, is, change: is - was, fate: fateOf(was, is) }];
  });
}

function fateOf(was: number, is: number): Fate {
  if (was > 0 && is <= 0) return "lost";
  if (was <= 0 && is > 0) return "won";
  if (is <= 0) return is < was ? "further" : "closer";
  return is < was ? "worse" : "better";
}

/** Whether the model prefers the rejected answer after training. */
export const prefersRejected = ({ is }: Pick<Judged, "is">) => is <= 0;

export const gotWorse = (pair: Pick<Judged, "change">) => pair.change < 0;

export const FATES: Record<Fate, string> = {
  better: "margin grew",
  worse: "margin shrank",
  lost: "now prefers the rejected answer",
  won: "now prefers the chosen answer",
  closer: "margin grew, but the rejected answer is still preferred",
  further: "margin shrank, and the rejected answer is still preferred",
};

/** The question in one line: the last message of the prompt. */
export const questionOf = (pair: Pick<Pair, "prompt" | "line">) =>
  pair.prompt?.at(-1)?.content ?? `Line ${pair.line}`;

export type PairOrder = "change" | "was" | "is" | "line";

export function sorted(pairs: readonly Judged[], order: PairOrder, descending: boolean): Judged[] {
  const sign = descending ? -1 : 1;
  return [...pairs].sort((a, b) => sign * (a[order] - b[order]) || a.line - b.line);
}
