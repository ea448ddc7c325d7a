import { BadgeCheck } from "lucide-react";
import { InfoMark } from "@/components/info-mark";
import { State } from "@/components/ui/state";
import { DeployButton } from "@/features/deployments/deploy-button";
import type { Attested } from "@/features/playground/api/comparison-events";
import { ModelPicker } from "@/features/playground/components/model-picker";
import { NAMES, type SideIndex } from "@/features/playground/conversation";
import type { Schema } from "@/lib/api";
import { visible } from "@/lib/visible-text";

/** The model on this side: the selected one, and the weights that the server reports. */
export function PaneHeader(props: {
  side: SideIndex;
  model: string | undefined;
  deployment: Schema<"DeploymentObject"> | null | undefined;
  attested: Attested | null;
  onPick: (model: string) => void;
}) {
  const { side, model, deployment, attested } = props;
  return (
    <section
      aria-label={`Model ${NAMES[side]}`}
      className="flex min-w-0 flex-col gap-2 rounded-lg border border-line bg-surface p-3"
    >
      <div className="flex items-center gap-2">
        <span
          aria-hidden="true"
          className="flex size-7 shrink-0 items-center justify-center rounded-md border border-line bg-bg font-semibold"
        >
          {NAMES[side]}
        </span>
        <ModelPicker side={side} model={model} onPick={props.onPick} />
      </div>
      {model && deployment !== undefined && deployment?.status !== "ready" && (
        <Undeployed model={model} deployment={deployment} />
      )}
      {attested ? (
        <Attestation attested={attested} />
      ) : (
        deployment?.status === "ready" && (
          <p className="text-sm text-muted">Ready. What answers is shown with its first words.</p>
        )
      )}
    </section>
  );
}

function Undeployed(props: { model: string; deployment: Schema<"DeploymentObject"> | null }) {
  const { model, deployment } = props;
  const isStarting = deployment?.status === "pending" || deployment?.status === "starting";
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm">
      <span role="status">
        {deployment ? <State value={deployment.status} /> : "Not deployed."}
        {isStarting && <span className="text-muted"> This takes a minute or two.</span>}
      </span>
      {!isStarting && (
        <DeployButton model={model}>{deployment ? "Deploy again" : "Deploy"}</DeployButton>
      )}
      {deployment?.error && <p className="basis-full text-rejected">{deployment.error.message}</p>}
    </div>
  );
}

function Attestation({ attested }: { attested: Attested }) {
  const { model, adapter, checkpoint_step: step, weights_sha256: sha256 } = attested;
  return (
    <div className="flex flex-col text-sm text-muted">
      <p className="flex items-start gap-1.5">
        <BadgeCheck aria-hidden="true" size={16} className="mt-0.5 shrink-0 text-accent" />
        <span className="min-w-0 wrap-anywhere">
          Attested: <span className="font-mono text-ink">{visible(model ?? "")}</span>
        </span>
      </p>
      <p className="flex flex-wrap items-center gap-x-3 ps-[22px]">
        <span>{adapter ? "adapter" : "whole weights"}</span>
        {typeof step === "number" && <span>step {step}</span>}
        {sha256 ? (
          <InfoMark about={model ?? "the model"} facts={[["SHA-256 of the weights", sha256]]} />
        ) : (
          <span>no hash of the weights</span>
        )}
      </p>
    </div>
  );
}
