/** Judges over the API, and how often they agree with people. */
import { queryOptions } from "@tanstack/react-query";
import { type CreateJudge, call, type Judge, type List } from "@/features/evaluations/contract";
import { readAll } from "@/lib/pages";

const ALL = "/v1/judges";
const one = (id: string) => `${ALL}/${encodeURIComponent(id)}`;

export const judgesQuery = queryOptions({
  queryKey: ["judges"],
  queryFn: ({ signal }) =>
    readAll((after) => call<List<Judge>>("GET", ALL, { query: { limit: 100, after }, signal })),
  select: ({ data }) => data,
});

export const createJudge = (body: CreateJudge) => call<Judge>("POST", ALL, { body });

export const deleteJudge = (id: string) => call("DELETE", one(id));

export type Labels = "llmbar" | "pandalm" | "votes";

export const measureAgreement = (
  id: string,
  body: { labels: Labels; data?: string; limit?: number },
) => call<Judge>("POST", `${one(id)}/agreement`, { body });
