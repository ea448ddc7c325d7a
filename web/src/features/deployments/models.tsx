import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { ErrorPanel } from "@/components/error-panel";
import { InfoMark } from "@/components/info-mark";
import { Needs } from "@/components/needs";
import { Empty, Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { State } from "@/components/ui/state";
import { Cell, Row, Table } from "@/components/ui/table";
import { type Deployment, type Model, removeModel } from "@/features/deployments/api";
import { DeployButton } from "@/features/deployments/deploy-button";
import { DownloadMenu } from "@/features/deployments/download-menu";
import { ago, moment, number } from "@/lib/format";
import { modelsQuery } from "@/lib/queries";

/** Every base and every result of a run, with a button that deploys those that are not served. */
export function Models({ deployments }: { deployments: Deployment[] }) {
  const models = useQuery(modelsQuery);
  const states = new Map(deployments.map(({ model, status }) => [model, status]));
  return (
    <Card title="Models">
      {models.isPending && <Loading what="Loading the models" />}
      {models.error && <ErrorPanel error={models.error} retry={() => models.refetch()} />}
      {models.data?.data.length === 0 && (
        <Empty>No model yet. Register a base below; results of runs follow by themselves.</Empty>
      )}
      {models.data && models.data.data.length > 0 && (
        <Table caption="Models" columns={["Model", "Made of", "Added", "State", "Actions"]}>
          {models.data.data.map((model) => (
            <ModelRow key={model.id} model={model} served={states.get(model.id)} />
          ))}
        </Table>
      )}
    </Card>
  );
}

function ModelRow({ model, served }: { model: Model; served: Deployment["status"] | undefined }) {
  const isBase = model.kind === "base";
  const isJudge = model.use === "judge";
  const canDeploy =
    !isJudge && model.status === "ready" && (served === undefined || served === "failed");
  return (
    <Row>
      <Cell label="Model" className="md:max-w-md">
        <span className="font-medium break-words">{model.id}</span>
      </Cell>
      <Cell label="Made of">{isBase ? <BaseFacts model={model} /> : <Origin model={model} />}</Cell>
      <Cell label="Added" className="whitespace-nowrap">
        <span title={moment(model.created)}>{ago(model.created)}</span>
      </Cell>
      <Cell label="State">
        {model.status === "ready" ? (
          served ? (
            <State value={served} />
          ) : (
            <span className="text-muted">{isJudge ? "judges answers" : "not deployed"}</span>
          )
        ) : (
          <State value={model.status} />
        )}
        {model.error && <p className="mt-1 text-sm text-rejected">{model.error}</p>}
      </Cell>
      <Cell label="Actions">
        <div className="flex flex-wrap gap-2">
          {canDeploy && <DeployButton model={model.id}>Deploy</DeployButton>}
          {model.kind !== "base" && <DownloadMenu model={model} />}
          {isBase && <RemoveBase model={model} />}
        </div>
      </Cell>
    </Row>
  );
}

function BaseFacts({ model }: { model: Model }) {
  const { parameters, context_length, dtype } = model.info;
  const facts = [
    parameters && `${parametersInWords(parameters)} parameters`,
    dtype,
    context_length && `${number(context_length)} tokens of context`,
  ].filter(Boolean);
  return (
    <>
      Base{facts.length > 0 && <span className="text-muted">: {facts.join(", ")}</span>}{" "}
      <InfoMark about={model.id} facts={[["Revision", model.revision]]} />
      {model.info.remarks?.map((remark) => (
        <p key={remark} className="mt-1 text-sm text-muted">
          {remark}
        </p>
      ))}
    </>
  );
}

function parametersInWords(count: number): string {
  return count >= 1e9 ? `${number(count / 1e9, 1)} B` : `${number(count / 1e6, 0)} M`;
}

function Origin({ model }: { model: Model }) {
  return (
    <>
      {model.use === "judge" ? "Reward model, trained from" : "Tuned from"} {model.parent}
      {model.job_id && (
        <>
          {" "}
          by{" "}
          <Link
            to="/jobs/$jobId"
            params={{ jobId: model.job_id }}
            className="text-accent underline"
            aria-label={`this run, which made ${model.id}`}
          >
            this run
          </Link>
          {model.promoted !== null && (
            <Link
              to="/jobs/$jobId"
              params={{ jobId: model.job_id }}
              search={{ tab: "evaluations" }}
              className={`block text-sm ${model.promoted ? "text-chosen" : "text-rejected"}`}
            >
              <span aria-hidden="true">{model.promoted ? "✓" : "✗"}</span>{" "}
              {model.promoted ? "promoted: it passed its gates" : "not promoted by its gates"}
            </Link>
          )}
        </>
      )}
    </>
  );
}

function RemoveBase({ model }: { model: Model }) {
  const queries = useQueryClient();
  const remove = async () => {
    await removeModel(model.id);
    await queries.invalidateQueries(modelsQuery);
  };
  return (
    <Needs scope="write">
      <ConfirmDialog
        title={`Take ${model.id} off the list?`}
        confirm="Take it off"
        onConfirm={remove}
        trigger={
          <Button small look="quiet" aria-label={`Remove ${model.id}`}>
            Remove
          </Button>
        }
      >
        Its files stay where they are. New runs can't use it until it is registered again.
      </ConfirmDialog>
    </Needs>
  );
}
