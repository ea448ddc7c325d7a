import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { ErrorPanel } from "@/components/error-panel";
import { InfoMark } from "@/components/info-mark";
import { Needs } from "@/components/needs";
import { Empty, Loading } from "@/components/page";
import { Button, buttonClass } from "@/components/ui/button";
import { type Checkpoint, checkpointsQuery, deploy, hasEnded, type Job } from "@/features/jobs/api";
import { heldOutOf, isJudge } from "@/features/jobs/job";
import { bytes, number, percent, signed } from "@/lib/format";
import { deploymentsQuery } from "@/lib/queries";

const headsOf = (job: Job) => [
  ...["Step", heldOutOf(job) === null ? "Accuracy" : `Accuracy of ${heldOutOf(job)} pairs`],
  ...[isJudge(job) ? "Reward margin" : "Log odds ratio"],
  ...["Held-out loss", "Size"],
];

/** The run's checkpoints: the quality of each, and its actions. */
export function CheckpointsTab({ job }: { job: Job }) {
  const { data, error, refetch } = useQuery(checkpointsQuery(job.id));
  if (error) return <ErrorPanel error={error} retry={refetch} />;
  if (!data) return <Loading what="Loading the checkpoints" />;
  if (data.length === 0)
    return (
      <Empty>
        {hasEnded(job)
          ? "This run ended before its first checkpoint."
          : "No checkpoint is saved yet. The setting checkpoint_every says how often."}
      </Empty>
    );
  return (
    <section
      aria-label="Checkpoints"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable.
      tabIndex={0}
      className="overflow-x-auto rounded-lg border border-line bg-surface"
    >
      <table className="w-full">
        <thead>
          <tr className="border-b border-line text-left text-sm text-muted">
            {headsOf(job).map((head) => (
              <th key={head} scope="col" className="px-3 py-2 font-medium whitespace-nowrap">
                {head}
              </th>
            ))}
            <td />
          </tr>
        </thead>
        <tbody>
          {data.map((checkpoint) => (
            <Row
              key={checkpoint.id}
              checkpoint={checkpoint}
              isAdapter={job.hyperparameters.tuning !== "full"}
              isJudge={isJudge(job)}
            />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Row(props: { checkpoint: Checkpoint; isAdapter: boolean; isJudge: boolean }) {
  const { checkpoint, isAdapter } = props;
  const model = checkpoint.fine_tuned_model_checkpoint;
  const measured = (name: string) => {
    const value = checkpoint.metrics[name];
    return typeof value === "number" ? value : null;
  };
  const low = measured("accuracy/low");
  const noun = isAdapter ? "Adapter" : "Weights";
  const format = isAdapter ? "adapter" : "merged";
  return (
    <tr className="border-b border-line last:border-b-0">
      <th scope="row" className="px-3 py-2 text-left font-medium">
        <span className="inline-flex items-center gap-1">
          {number(checkpoint.step_number, 0)}
          <InfoMark
            about={`the checkpoint of step ${checkpoint.step_number}`}
            facts={[
              ["Tuned model", model],
              ["Id", checkpoint.id],
              ["SHA-256 of the weights", checkpoint.sha256],
            ]}
          />
        </span>
      </th>
      <td className="px-3 py-2 whitespace-nowrap">
        {percent(measured("accuracy"))}
        {low !== null && (
          <span className="ml-1 text-sm text-muted">
            ({percent(low)} to {percent(measured("accuracy/high"))})
          </span>
        )}
      </td>
      <td className="px-3 py-2">
        {signed(measured(props.isJudge ? "reward/margin" : "log_odds_ratio"))}
      </td>
      <td className="px-3 py-2">{number(measured("full_valid_loss"), 3)}</td>
      <td className="px-3 py-2 whitespace-nowrap">{bytes(checkpoint.size_bytes)}</td>
      <td className="px-3 py-2">
        <div className="flex items-center justify-end gap-2">
          {!props.isJudge && <Deploy model={model} step={checkpoint.step_number} />}
          <a
            href={`/v1/models/${encodeURIComponent(model)}/download?format=${format}`}
            download
            className={buttonClass("plain", true)}
            aria-label={`${noun} of step ${checkpoint.step_number}, download`}
          >
            <Download aria-hidden="true" size={14} /> {noun}
          </a>
        </div>
      </td>
    </tr>
  );
}

function Deploy({ model, step }: { model: string; step: number }) {
  const queries = useQueryClient();
  const { data } = useQuery(deploymentsQuery);
  const action = useMutation({
    mutationFn: () => deploy(model),
    onSuccess: () => queries.invalidateQueries({ queryKey: deploymentsQuery.queryKey }),
  });
  const served = data?.data.find((deployment) => deployment.model === model);
  if (served && served.status !== "failed" && served.status !== "stopped")
    return (
      <Link to="/deployments" className={buttonClass("plain", true)}>
        {served.status === "ready" ? "Deployed" : "Starting"}
      </Link>
    );
  return (
    <>
      {action.error && (
        <span role="alert" className="text-sm text-rejected">
          {action.error.message}
        </span>
      )}
      <Needs scope="write">
        <Button
          small
          aria-label={`Deploy step ${step}`}
          disabled={action.isPending}
          onClick={() => action.mutate()}
        >
          Deploy
        </Button>
      </Needs>
    </>
  );
}
