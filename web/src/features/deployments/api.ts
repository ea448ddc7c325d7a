import { queryOptions } from "@tanstack/react-query";
import { client, type Schema, take } from "@/lib/api";

export type Deployment = Schema<"DeploymentObject">;
export type Model = Schema<"ModelObject">;

export const deploy = (model: string) => take(client.POST("/v1/deployments", { body: { model } }));

export const stopDeployment = (id: string) =>
  take(
    client.DELETE("/v1/deployments/{deployment_id}", { params: { path: { deployment_id: id } } }),
  );

export const registerModel = (body: Schema<"RegisterModel">) =>
  take(client.POST("/v1/models", { body }));

export const removeModel = (id: string) =>
  take(client.DELETE("/v1/models/{model_id}", { params: { path: { model_id: id } } }));

export const downloadUrl = (model: string, format: "adapter" | "merged" | "gguf") =>
  `/v1/models/${encodeURIComponent(model)}/download?format=${format}`;

/** Whether a job's result has an adapter, or is whole weights. Known once the job has begun. */
export const hasAdapterQuery = (jobId: string) =>
  queryOptions({
    queryKey: ["has-adapter", jobId],
    queryFn: async ({ signal }) => {
      const job = await take(
        client.GET("/v1/fine_tuning/jobs/{job_id}", {
          params: { path: { job_id: jobId } },
          signal,
        }),
      );
      return job.hyperparameters.tuning !== "full";
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
