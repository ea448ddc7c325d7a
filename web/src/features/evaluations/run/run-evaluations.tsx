import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Empty, Loading } from "@/components/page";
import { buttonClass } from "@/components/ui/button";
import { evaluationsQuery } from "@/features/evaluations/api";
import { EvaluationsTable } from "@/features/evaluations/components/evaluations-table";
import { GatesCard } from "@/features/evaluations/run/gates-card";
import type { Schema } from "@/lib/api";

type Job = Schema<"JobObject">;

/** The evaluations of a run's model, and whether it has passed the run's gates. */
export default function RunEvaluations({ job }: { job: Job }) {
  return (
    <div className="flex flex-col gap-4">
      <GatesCard job={job} />
      {job.fine_tuned_model && job.method.type === "reward" ? (
        <Empty>
          <p className="mx-auto mb-4 max-w-md">
            This run trained a reward model. It writes no answers: it judges those of other models.
          </p>
          <Link
            to="/evaluations/judges"
            search={{ kind: "reward", model: job.fine_tuned_model }}
            className={buttonClass("primary")}
          >
            Add it as a judge
          </Link>
        </Empty>
      ) : job.fine_tuned_model ? (
        <OfModel job={job} model={job.fine_tuned_model} />
      ) : (
        <Empty>This run has no model yet that could be evaluated.</Empty>
      )}
    </div>
  );
}

function OfModel({ job, model }: { job: Job; model: string }) {
  const { data, error, refetch } = useQuery(evaluationsQuery({ model }));
  const evaluate = (
    <Needs scope="write" lacking="hidden">
      <div className="flex flex-wrap justify-center gap-2">
        <Link
          to="/evaluations/new"
          search={{ model, baseline: job.model }}
          className={buttonClass("primary")}
        >
          Evaluate this model
        </Link>
        <Link
          to="/evaluations/new"
          search={{ model, baseline: job.model, suite: "custom", data: job.training_file }}
          className={buttonClass()}
        >
          Vote blind on new answers
        </Link>
      </div>
    </Needs>
  );
  if (error) return <ErrorPanel error={error} retry={() => refetch()} />;
  if (!data) return <Loading what="Loading the evaluations" />;
  if (data.data.length === 0)
    return (
      <Empty>
        <p className="mx-auto mb-4 max-w-md">
          This run's model was not evaluated yet. An evaluation asks it and its base the prompts of
          a file, and shows whether it became better, and where it became worse.
        </p>
        {evaluate}
      </Empty>
    );
  return (
    <>
      <div className="flex justify-end">{evaluate}</div>
      <EvaluationsTable evaluations={data.data} />
    </>
  );
}
