import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { MessagesSquare } from "lucide-react";
import type { ReactNode } from "react";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { Needs } from "@/components/needs";
import { Button, buttonClass } from "@/components/ui/button";
import { State } from "@/components/ui/state";
import { type Deployment, stopDeployment } from "@/features/deployments/api";
import { Certificate } from "@/features/deployments/certificate";
import { DeployButton } from "@/features/deployments/deploy-button";
import { ago, duration, moment } from "@/lib/format";
import { deploymentsQuery } from "@/lib/queries";

export function DeploymentCard(props: { deployment: Deployment; isBaseDeployed: boolean }) {
  const { deployment, isBaseDeployed } = props;
  const { model, base_model: base, status, error, parity } = deployment;
  const isTuned = model !== base;
  return (
    <article
      aria-label={model}
      className="flex flex-col gap-3 rounded-lg border border-line bg-surface p-4"
    >
      <header className="flex flex-wrap items-start justify-between gap-3">
        <div className="min-w-0">
          <h3 className="font-medium break-words">{model}</h3>
          <div className="flex flex-wrap items-center gap-x-4 text-muted">
            <State value={status} />
            {isTuned && <span className="break-words">tuned from {base}</span>}
            <Facts deployment={deployment} />
          </div>
        </div>
        <div className="flex flex-wrap gap-2">
          {status === "ready" && (
            <Link
              to="/playground"
              search={isTuned ? { a: base, b: model } : { a: model }}
              className={buttonClass("primary", true)}
              aria-label={`Chat with ${model}`}
            >
              <MessagesSquare aria-hidden="true" size={14} />
              Chat
            </Link>
          )}
          {status === "failed" && <DeployButton model={model}>Try again</DeployButton>}
          <Stop deployment={deployment} />
        </div>
      </header>
      {error && <p className="break-words text-rejected">{error.message}</p>}
      {parity && <Certificate parity={parity} />}
      {isTuned && status === "ready" && !isBaseDeployed && (
        <Hint>
          Its base is not deployed, so there is nothing to compare it with.
          <DeployButton model={base}>{`Deploy ${base}`}</DeployButton>
        </Hint>
      )}
    </article>
  );
}

function Hint({ children }: { children: ReactNode }) {
  return <div className="flex flex-wrap items-center gap-2 text-muted">{children}</div>;
}

function Facts({ deployment: { status, created_at, ready_at, engine } }: Props) {
  if (status === "pending" || status === "starting")
    return <span>asked for {ago(created_at)}; an engine takes about a minute to start</span>;
  if (status !== "ready" || ready_at === null) return null;
  return (
    <>
      <span title={moment(ready_at)}>
        ready {ago(ready_at)}, {duration(ready_at - created_at)} after it was asked for
      </span>
      {engine && (
        <span>
          on {engine.device}, {engine.adapter ? "as an adapter" : "whole weights"}
        </span>
      )}
    </>
  );
}

type Props = { deployment: Deployment };

function Stop({ deployment: { id, model, status } }: Props) {
  const queries = useQueryClient();
  const stop = async () => {
    await stopDeployment(id);
    await queries.invalidateQueries(deploymentsQuery);
  };
  const verb = status === "failed" ? "Dismiss" : "Stop";
  return (
    <Needs scope="write">
      <ConfirmDialog
        title={`${verb} ${model}?`}
        confirm={`${verb} it`}
        onConfirm={stop}
        trigger={
          <Button small aria-label={`${verb} ${model}`}>
            {verb}
          </Button>
        }
      >
        {status === "failed"
          ? "It leaves this list. The model stays and can be deployed again."
          : "Chats with it end at once. The model stays and can be deployed again."}
      </ConfirmDialog>
    </Needs>
  );
}
