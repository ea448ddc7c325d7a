/** Judges over the API, and how often they agree with people. */
import { queryOptions } from "@tanstack/react-query";
import { client, type Schema, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

export type Labels = Schema<"MeasureAgreement">["labels"];

const path = (judge_id: string) => ({ path: { judge_id } });

/** All judges, the newest first. */
export const judgesQuery = queryOptions({
  queryKey: ["judges"],
  queryFn: ({ signal }) =>
    readAll((after) => {
      const query = { limit: 100, after };
      return take(client.GET("/v1/judges", { params: { query }, signal }));
    }),
  select: ({ data }) => data,
});

export const createJudge = (body: Schema<"CreateJudge">) =>
  take(client.POST("/v1/judges", { body }));

export const deleteJudge = (id: string) =>
  take(client.DELETE("/v1/judges/{judge_id}", { params: path(id) }));

/** Start an evaluation of the judge; its agreement stands with the judge once it has succeeded. */
export const measureAgreement = (id: string, body: Schema<"MeasureAgreement">) =>
  take(client.POST("/v1/judges/{judge_id}/agreement", { params: path(id), body }));
