/** Fine-tuning jobs over the API: the queries, and how long their results stay fresh. */
import { type QueryClient, queryOptions } from "@tanstack/react-query";
import { client, type Schema, take } from "@/lib/api";
import { notify } from "@/lib/notice";
import { readAll } from "@/lib/pages";
import { nameOf } from "@/lib/run-name";

export type Job = Schema<"JobObject">;
export type JobEvent = Schema<"JobEventObject">;
export type Checkpoint = Schema<"CheckpointObject">;

const ENDED = new Set(["succeeded", "failed", "cancelled"]);

export const hasEnded = (job: Pick<Job, "status">) => ENDED.has(job.status);
/** Alive: the job can still change without an action of the user. */
export const isAlive = (job: Pick<Job, "status">) => !hasEnded(job) && job.status !== "paused";

const path = (job_id: string) => ({ params: { path: { job_id } } });

export const keys = {
  list: ["jobs", "list"] as const,
  job: (id: string) => ["jobs", "one", id] as const,
  /** All measurements of a job; invalidating this key reloads every chart and table. */
  results: (id: string) => ["jobs", "results", id] as const,
};

export const getJob = (id: string) => take(client.GET("/v1/fine_tuning/jobs/{job_id}", path(id)));

/** Evaluations of the job's gates have not ended yet: it will get a `promotion`. */
export const awaitsGates = (job: Pick<Job, "status" | "gates" | "promotion">) =>
  job.status === "succeeded" && (job.gates ?? []).length > 0 && !job.promotion;

const WAITING = new Set(["validating_files", "queued"]);

/**
 * The stream sends neither the decision on a job's gates, which comes after its end, nor what the
 * job waits for: while there is one of the two, the job is asked for.
 */
export const jobQuery = (id: string) =>
  queryOptions({
    queryKey: keys.job(id),
    queryFn: () => getJob(id),
    refetchInterval: ({ state: { data: job } }) =>
      job && (awaitsGates(job) || WAITING.has(job.status)) ? 5_000 : false,
  });

export const checkpointsQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.results(id), "checkpoints"],
    queryFn: async () => {
      const all = await readAll((after) =>
        take(
          client.GET("/v1/fine_tuning/jobs/{job_id}/checkpoints", {
            params: { path: { job_id: id }, query: { limit: 1000, after } },
          }),
        ),
      );
      return all.data;
    },
  });

export const listEvents = (id: string, after?: string) =>
  take(
    client.GET("/v1/fine_tuning/jobs/{job_id}/events", {
      params: { path: { job_id: id }, query: { limit: 200, after, type: "message" } },
    }),
  );

export const logsQuery = (id: string, alive: boolean) =>
  queryOptions({
    queryKey: [...keys.results(id), "logs"],
    queryFn: () =>
      take(
        client.GET("/v1/fine_tuning/jobs/{job_id}/logs", {
          params: { path: { job_id: id }, query: { tail_bytes: 65536 } },
        }),
      ),
    refetchInterval: alive ? 5_000 : false,
  });

/** Cancel, pause or resume a job, and update every view of it. */
export async function steer(queries: QueryClient, id: string, verb: "cancel" | "pause" | "resume") {
  const job = await take(client.POST(`/v1/fine_tuning/jobs/{job_id}/${verb}`, path(id)));
  queries.setQueryData(keys.job(id), job);
  queries.invalidateQueries({ queryKey: keys.list });
}

/** Change labels of a run: only the given fields. Every view of the run is updated. */
export async function editJob(queries: QueryClient, id: string, body: Schema<"EditJob">) {
  const job = await take(client.POST("/v1/fine_tuning/jobs/{job_id}", { ...path(id), body }));
  queries.setQueryData(keys.job(id), job);
  queries.setQueryData<Job[]>(keys.list, (jobs) =>
    jobs?.map((each) => (each.id === id ? job : each)),
  );
  return job;
}

/** Archive runs, or show them in the list again, and say so with a way back. */
export async function archive(queries: QueryClient, jobs: readonly Job[], archived: boolean) {
  const changed = jobs.filter((job) => job.archived !== archived);
  const [first] = changed;
  if (!first) return;
  const change = (to: boolean) =>
    Promise.all(changed.map((job) => editJob(queries, job.id, { archived: to })));
  await change(archived);
  const what = changed.length === 1 ? nameOf(first) : `${changed.length} runs`;
  notify({
    text: archived ? `Archived ${what}.` : `Unarchived ${what}.`,
    undo: () => change(!archived),
  });
}

export const createJob = (body: Schema<"CreateJob">, idempotencyKey: string) =>
  take(
    client.POST("/v1/fine_tuning/jobs", {
      body,
      params: { header: { "idempotency-key": idempotencyKey } },
    }),
  );

/** Begin to copy a tuned model's weights into a base model, which can be trained further. */
export const makeBase = (tuned: string) =>
  take(client.POST("/v1/models", { body: { from: tuned } }));

export const deploy = (model: string) => take(client.POST("/v1/deployments", { body: { model } }));
