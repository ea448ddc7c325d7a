/** Values that the page derives from a job: its name, its settings, its progress. */

import { hasEnded, type Job } from "@/features/jobs/api";
import { duration, number } from "@/lib/format";
import { nameOf } from "@/lib/run-name";

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

/** The gradient norm above which a gradient is clipped; null clips none. */
export function clipOf(job: Pick<Job, "hyperparameters">): number | null {
  const value = job.hyperparameters.max_grad_norm;
  return typeof value === "number" ? value : null;
}

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

type Waiting = Partial<Pick<Job, "queue" | "waits_for">>;

/** What a job waits for, and when it starts if that is known. `now` in Unix seconds. */
function waiting({ queue, waits_for }: Waiting, now: number): string | null {
  if (!waits_for) return null;
  const starts = queue?.starts_at ? queue.starts_at - now : 0;
  // A start within seconds is not worth a forecast.
  const message = waits_for.message.replace(/\.$/, "");
  return starts < 10 ? message : `${message}; starts in about ${duration(starts)}`;
}

/** The progress of a job that has not ended, in a few words. */
export function standing(
  job: Pick<Job, "progress" | "status" | "desired_status"> & Waiting,
  now = Date.now() / 1000,
): string {
  if (job.status === "validating_files") {
    const found = job.progress?.preparing;
    return found
      ? `Read ${number(found.tokenised)} of ${number(found.pairs)} pairs`
      : (waiting(job, now) ?? "Reading the files");
  }
  if (job.status === "queued") return waiting(job, now) ?? "Waiting for a worker";
  if (job.desired_status === "cancel" && job.status === "running") return "Stopping";
  if (job.desired_status === "pause" && job.status === "running")
    return "Saving a checkpoint before the pause";
  const at = advance(job);
  if (!at && job.status === "running") return waiting(job, now) ?? "Loading the model";
  if (!at) return "Not started";
  const of = at.steps ? ` of ${at.steps}` : "";
  if (job.status === "paused") return `Paused at step ${at.step}${of}`;
  if (at.steps && at.step >= at.steps && job.status === "running") return "Registering the result";
  const left = at.eta === null ? "" : `, ${duration(at.eta)} left`;
  return `Step ${at.step}${of}${left}`;
}

/** A job with what its stream has sent. In a new state, what it waited for before is past. */
export function withNews(job: Job, news: Partial<Job>): Job {
  const isNew = news.status !== undefined && news.status !== job.status;
  return { ...job, ...(isNew && { waits_for: null, queue: null }), ...news };
}

/** The run in the title of its tab: its progress, or its state. */
export function tabOf(job: Pick<Job, "id" | "name" | "progress" | "status">): string {
  const share = hasEnded(job) ? null : (advance(job)?.share ?? null);
  // Rounded down: only a run that has ended is whole.
  const state = share === null ? job.status.replaceAll("_", " ") : `${Math.floor(100 * share)}%`;
  return `${state} · ${nameOf(job)}`;
}

/** How long a job ran, in seconds. */
export function ran(job: Pick<Job, "started_at" | "finished_at">): number | null {
  return job.started_at && job.finished_at ? job.finished_at - job.started_at : null;
}
