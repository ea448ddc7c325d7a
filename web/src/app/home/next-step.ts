/** The one next step that Home offers. Pure: the same state gives the same step. */
import { hasEnded, isAlive, type Job } from "@/features/jobs/api";
import { isJudge } from "@/features/jobs/job";
import type { Schema } from "@/lib/api";
import { number } from "@/lib/format";
import { nameOf } from "@/lib/run-name";

export type File = Pick<Schema<"FileObject">, "id" | "filename" | "status" | "accepted">;
export type Deployment = Pick<Schema<"DeploymentObject">, "model" | "status">;

export type Known = {
  steps: Schema<"FirstStepsObject">;
  /** Newest first, as the jobs are. */
  files: readonly File[];
  jobs: readonly Job[];
  deployments: readonly Deployment[];
};

/** A link of this page. */
export type Place =
  | { to: "/files" }
  | { to: "/files/$fileId"; params: { fileId: string } }
  | { to: "/jobs/new"; search: { file?: string; from?: string } }
  | { to: "/jobs/$jobId"; params: { jobId: string } }
  | { to: "/playground"; search: { a?: string; b?: string; job?: string } }
  | { to: "/deployments" }
  | { to: "/votes"; search: { make?: string } };

export type NextStep = { says: string; label: string; place: Place };

const isUsable = ({ accepted, status }: File) => status === "processed" && (accepted ?? 0) > 0;

/** The newest file to train on. What a run holds out is not trained on. */
const newestPairs = ({ files, jobs }: Known) =>
  files.find((file) => isUsable(file) && jobs.every((job) => job.validation_file !== file.id));

const SERVED = new Set(["pending", "starting", "ready"]);

/** The first of these that applies, in the order in which the work is done. */
export function nextStep(known: Known): NextStep {
  const { steps } = known;
  return (
    (steps.pairs ? null : addPairs(known)) ??
    (steps.run ? null : firstRun(known)) ??
    askTheNewest(known) ??
    vote(known) ??
    trainOnNewPairs(known) ??
    moreVotes(known) ??
    another(known)
  );
}

function addPairs({ files }: Known): NextStep {
  const checked = files.find(({ status }) => status === "uploaded");
  if (checked)
    return {
      says: `${checked.filename} is being checked, row by row.`,
      label: "Look at its report",
      place: { to: "/files/$fileId", params: { fileId: checked.id } },
    };
  const [bad] = files;
  if (bad)
    return {
      says: `${bad.filename} has no row that can be trained on.`,
      label: "See why",
      place: { to: "/files/$fileId", params: { fileId: bad.id } },
    };
  return {
    says: "Add a file of pairs: prompts, each with a chosen and a rejected answer.",
    label: "Add pairs",
    place: { to: "/files" },
  };
}

function firstRun(known: Known): NextStep | null {
  const { jobs } = known;
  const [newest] = jobs;
  const alive = jobs.find(isAlive);
  if (alive)
    return {
      says: `“${nameOf(alive)}” has not ended: its curves show whether it is healthy.`,
      label: "Follow it",
      place: { to: "/jobs/$jobId", params: { jobId: alive.id } },
    };
  if (newest?.status === "failed" || newest?.status === "paused")
    return {
      says:
        newest.status === "failed"
          ? `“${nameOf(newest)}” failed.`
          : `“${nameOf(newest)}” is paused.`,
      label: newest.status === "failed" ? "See why" : "Go to the run",
      place: { to: "/jobs/$jobId", params: { jobId: newest.id } },
    };
  const file = newestPairs(known);
  // The list of files may not be as fresh as the steps.
  if (!file) return null;
  return trainOn(file, `${file.filename} is checked: train a model on it.`);
}

const trainOn = (file: File, says: string): NextStep => ({
  says,
  label: "Train on it",
  place: { to: "/jobs/new", search: { file: file.id } },
});

/** The newest run with a model that can chat. */
const lastChat = (jobs: readonly Job[]) =>
  jobs.find((job) => job.status === "succeeded" && job.fine_tuned_model && !isJudge(job));

function askTheNewest({ steps, jobs, deployments }: Known): NextStep | null {
  const job = lastChat(jobs);
  const model = job?.fine_tuned_model;
  if (!job || !model) return null;
  const deployment = deployments.find((each) => each.model === model);
  const isServed = deployment !== undefined && SERVED.has(deployment.status);
  if (isServed && steps.question) return null;
  if (deployment?.status === "failed")
    return {
      says: `The model of “${nameOf(job)}” could not be served.`,
      label: "See why",
      place: { to: "/deployments" },
    };
  return {
    says: isServed
      ? `The model of “${nameOf(job)}” is served: ask it and its base the same question.`
      : `“${nameOf(job)}” has finished: deploy its model and ask it beside its base.`,
    label: "Ask both models",
    place: { to: "/playground", search: { a: job.model, b: model, job: job.id } },
  };
}

function vote({ steps, jobs }: Known): NextStep | null {
  if (steps.vote) return null;
  const job = lastChat(jobs);
  const search = job ? { a: job.model, b: job.fine_tuned_model ?? undefined, job: job.id } : {};
  return {
    says: "Say which of two answers is better: votes rank models and become pairs.",
    label: "Vote on an answer",
    place: { to: "/playground", search: withoutEmpty(search) },
  };
}

function trainOnNewPairs(known: Known): NextStep | null {
  const { jobs, steps } = known;
  if (steps.new_votes >= steps.enough_votes)
    return {
      says: `${number(steps.new_votes, 0)} votes are in no file yet: make pairs of them.`,
      label: "Make a file of votes",
      place: { to: "/votes", search: { make: "file" } },
    };
  const file = newestPairs(known);
  const isTrainedOn = jobs.some((job) => job.training_file === file?.id);
  if (!file || isTrainedOn) return null;
  return trainOn(file, `No run has used ${file.filename} yet.`);
}

function moreVotes({ steps, jobs }: Known): NextStep | null {
  const job = lastChat(jobs);
  const missing = steps.enough_votes - steps.new_votes;
  if (!job || steps.new_votes === 0 || missing <= 0) return null;
  const search = { a: job.model, b: job.fine_tuned_model ?? undefined, job: job.id };
  return {
    says: `${number(missing, 0)} more ${missing === 1 ? "vote is" : "votes are"} needed to rank the models.`,
    label: "Ask and vote",
    place: { to: "/playground", search: withoutEmpty(search) },
  };
}

function another({ jobs }: Known): NextStep {
  const last = jobs.find(hasEnded);
  return {
    says: last
      ? `Change one setting of “${nameOf(last)}” and compare the two runs.`
      : "Train a model on your pairs.",
    label: "New run",
    place: { to: "/jobs/new", search: last ? { from: last.id } : {} },
  };
}

function withoutEmpty(search: { a?: string; b?: string | undefined; job?: string }) {
  const { b, ...others } = search;
  return b === undefined ? others : { ...others, b };
}
