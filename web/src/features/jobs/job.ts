/** Values that the page derives from a job: its name, its settings, its progress. */
import type { Job } from "@/features/jobs/api";
import { duration, number } from "@/lib/format";

/** The ids of a run, for the mark behind its name. */
export const idsOf = (job: Pick<Job, "id" | "fine_tuned_model">) =>
  [
    ["Id", job.id],
    ["Tuned model", job.fine_tuned_model],
  ] as const;

export const methodOf = (job: Pick<Job, "method">) => job.method.type;

/** Whether the run trains a reward model: it judges answers, and can't chat. */
export const isJudge = (job: Pick<Job, "method">) => methodOf(job) === "reward";

export function lambdaOf(job: Pick<Job, "hyperparameters">): number | null {
  const value = job.hyperparameters.lambda;
  return typeof value === "number" ? value : null;
}

/** How many pairs are held out; null before the files were read. */
export const heldOutOf = (job: Pick<Job, "prepared">): number | null =>
  job.prepared?.held_out?.pairs ?? null;

export type Advance = {
  step: number;
  steps: number | null;
  share: number | null;
  eta: number | null;
};

export function advance(job: Pick<Job, "progress" | "status">): Advance | null {
  const { step = null, steps = null, eta_s = null } = job.progress ?? {};
  if (step === null) return null;
  const share = steps ? Math.min(1, step / steps) : null;
  return { step, steps, share, eta: job.status === "running" ? eta_s : null };
}

/** The progress of a job that has not ended, in a few words. */
export function standing(
  job: Pick<Job, "progress" | "status" | "desired_status"> & Partial<Pick<Job, "queue">>,
): string {
  if (job.status === "validating_files") {
    const found = job.progress?.preparing;
    return found
      ? `Read ${number(found.tokenised)} of ${number(found.pairs)} pairs`
      : "Reading the files";
  }
  if (job.status === "queued") {
    const ahead = (job.queue?.position ?? 1) - 1;
    return ahead > 0 ? `Waiting, ${ahead} before it` : "Waiting for a free worker";
  }
  if (job.desired_status === "cancel" && job.status === "running") return "Stopping";
  if (job.desired_status === "pause" && job.status === "running")
    return "Saving a checkpoint before the pause";
  const at = advance(job);
  if (!at) return job.status === "running" ? "Loading the model" : "Not started";
  const of = at.steps ? ` of ${at.steps}` : "";
  if (job.status === "paused") return `Paused at step ${at.step}${of}`;
  if (at.steps && at.step >= at.steps && job.status === "running") return "Registering the result";
  const left = at.eta === null ? "" : `, ${duration(at.eta)} left`;
  return `Step ${at.step}${of}${left}`;
}

/** How long a job ran, in seconds. */
export function ran(job: Pick<Job, "started_at" | "finished_at">): number | null {
  return job.started_at && job.finished_at ? job.finished_at - job.started_at : null;
}
