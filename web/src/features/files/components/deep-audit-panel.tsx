import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Progress } from "@/components/progress";
import { Button, buttonClass } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Field, inputClass } from "@/components/ui/field";
import { State } from "@/components/ui/state";
import { BaseField, useBaseChoice } from "@/features/files/components/base-choice";
import { JudgedPairs } from "@/features/files/components/judged-pairs";
import { hasEnded, phaseOf, shareInWords, warningOf } from "@/features/files/deep-audit";
import {
  auditsQuery,
  cancelAudit,
  type DeepAudit,
  deleteAudit,
  startAudit,
} from "@/features/files/deep-audit-api";
import { cx } from "@/lib/cx";
import { ago, duration, moment, number, percent } from "@/lib/format";

const FEWEST_PAIRS = 20;

/** Starts deep audits of a file, follows the one that runs, and shows what one has found. */
export function DeepAuditPanel({ fileId, accepted }: { fileId: string; accepted: number }) {
  const audits = useQuery(auditsQuery(fileId));
  const [chosen, setChosen] = useState<string | null>(null);
  const all = audits.data?.data ?? [];
  const shown = all.find(({ id }) => id === chosen) ?? all[0];
  const isBusy = all.some((audit) => !hasEnded(audit));
  return (
    <Card title="Deep audit">
      <div className="flex flex-col gap-4">
        <p className="max-w-prose text-muted">
          Looks for pairs whose answers are the wrong way round: a small adapter is trained on one
          half of the pairs and judges the other half, and the other way round. This takes a little
          longer than one epoch of training on this file, needs a free worker, and leaves no model.
        </p>
        {accepted < FEWEST_PAIRS ? (
          <p>
            It needs at least {FEWEST_PAIRS} pairs, and this file has {number(accepted)}.
          </p>
        ) : (
          !isBusy &&
          audits.data && (
            <Needs scope="write" lacking="explained">
              <Start fileId={fileId} onStart={() => setChosen(null)} />
            </Needs>
          )
        )}
        {audits.error && <ErrorPanel error={audits.error} retry={() => audits.refetch()} />}
        {all.length > 1 && (
          <Choice audits={all} shown={shown?.id ?? ""} onChoose={(id) => setChosen(id)} />
        )}
        {shown && <Audit key={shown.id} fileId={fileId} audit={shown} />}
      </div>
    </Card>
  );
}

function Start({ fileId, onStart }: { fileId: string; onStart: () => void }) {
  const queries = useQueryClient();
  const base = useBaseChoice();
  const { bases, model } = base;
  const start = useMutation({
    mutationFn: (model: string) => startAudit(fileId, model),
    onSuccess: async () => {
      await queries.invalidateQueries(auditsQuery(fileId));
      onStart();
    },
  });
  if (base.error) return <ErrorPanel error={base.error} retry={base.retry} />;
  if (!bases) return null;
  if (bases.length === 0) return <p>Register a base model first: it is the judge.</p>;
  return (
    <>
      <form
        className="flex flex-wrap items-end gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (model !== null) start.mutate(model);
        }}
      >
        <BaseField label="Base model of the judge" choice={base} />
        <Button type="submit" disabled={start.isPending}>
          {start.isPending ? "Starting …" : "Start the deep audit"}
        </Button>
      </form>
      {start.error && <ErrorPanel error={start.error} />}
    </>
  );
}

function Choice(props: { audits: DeepAudit[]; shown: string; onChoose: (id: string) => void }) {
  return (
    <Field label="Shown audit">
      {(control) => (
        <select
          {...control}
          className={cx(inputClass, "max-w-xl")}
          value={props.shown}
          onChange={(event) => props.onChoose(event.target.value)}
        >
          {props.audits.map(({ id, created_at, model, status }) => (
            <option key={id} value={id}>
              {`${moment(created_at)}, ${model}, ${status.replaceAll("_", " ")}`}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** One audit: its state and its actions, then its progress, its error or its result. */
function Audit({ fileId, audit }: { fileId: string; audit: DeepAudit }) {
  const { status, model, created_at, started_at, finished_at, error, result } = audit;
  const took = started_at && finished_at ? finished_at - started_at : null;
  return (
    <div className="flex flex-col gap-4 border-t border-line pt-4">
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2">
        <p className="flex flex-wrap items-center gap-x-4 gap-y-1">
          <State value={status} />
          <span className="break-all">judge: {model}</span>
          <span className="text-muted" title={moment(created_at)}>
            {ago(created_at)}
            {took !== null && `, took ${duration(took)}`}
          </span>
        </p>
        {hasEnded(audit) && <Remove fileId={fileId} audit={audit} />}
      </div>
      {!hasEnded(audit) && <Running fileId={fileId} audit={audit} />}
      {status === "failed" && <ErrorPanel error={error?.message ?? "The audit failed."} />}
      {status === "cancelled" && <p>It was stopped. Start another one to get a result.</p>}
      {status === "succeeded" && result && <Result fileId={fileId} audit={audit} />}
    </div>
  );
}

function Running({ fileId, audit }: { fileId: string; audit: DeepAudit }) {
  const queries = useQueryClient();
  const { share, says } = phaseOf(audit);
  const stop = useMutation({
    mutationFn: () => cancelAudit(fileId, audit.id),
    onSuccess: () => queries.invalidateQueries(auditsQuery(fileId)),
  });
  const ran = audit.started_at ? Math.max(0, Date.now() / 1000 - audit.started_at) : null;
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <p role="status">{stop.isSuccess ? "Stopping" : says}</p>
        {ran !== null && <p className="text-muted">running for {duration(ran)}</p>}
        <Needs scope="write">
          <Button
            small
            className="ml-auto"
            disabled={stop.isPending || stop.isSuccess}
            onClick={() => stop.mutate()}
          >
            Stop
            <span className="sr-only">the deep audit</span>
          </Button>
        </Needs>
      </div>
      <Progress share={share} label="Progress of the deep audit" />
      {stop.error && <ErrorPanel error={stop.error} />}
    </>
  );
}

function Remove({ fileId, audit }: { fileId: string; audit: DeepAudit }) {
  const queries = useQueryClient();
  return (
    <Needs scope="write">
      <ConfirmDialog
        trigger={<Button small>Delete the audit</Button>}
        title="Delete this deep audit?"
        confirm="Delete the audit"
        onConfirm={async () => {
          await deleteAudit(fileId, audit.id);
          await queries.invalidateQueries(auditsQuery(fileId));
        }}
      >
        Its list of judged pairs is deleted, too. The file and its versions stay.
      </ConfirmDialog>
    </Needs>
  );
}

function Result({ fileId, audit }: { fileId: string; audit: DeepAudit }) {
  const found = audit.result ?? {};
  const warning = warningOf(found);
  const [table] = audit.result_files;
  const facts: [string, ReactNode][] = [
    ["Wrong choices, estimated", shareInWords(found.noise_share)],
    [
      "Likely swapped",
      `${number(found.likely_swapped)} of ${number(found.pairs)} pairs; ${number(found.unclear)} are unclear`,
    ],
    [
      "The judge agrees with",
      `${shareInWords(found.accuracy)} of the choices; the base alone with ${percent(found.base_accuracy)}`,
    ],
  ];
  return (
    <>
      <dl className="grid gap-x-4 gap-y-1 sm:grid-cols-[max-content_minmax(0,1fr)]">
        {facts.map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="text-muted">{name}</dt>
            <dd className="mb-2 sm:mb-0">{value}</dd>
          </div>
        ))}
      </dl>
      <p className="max-w-prose text-sm text-muted">
        In brackets: the 95% interval. It does not cover the judge's own errors.
      </p>
      {warning && (
        <p role="note" className="max-w-prose rounded-md border border-rejected p-3">
          {warning}
        </p>
      )}
      <JudgedPairs
        fileId={fileId}
        auditId={audit.id}
        likelySwapped={found.likely_swapped ?? 0}
        actions={
          table && (
            <a
              href={`/v1/files/${encodeURIComponent(table)}/content`}
              download={`deep-audit-${audit.id}.jsonl`}
              className={buttonClass("plain", true)}
            >
              Download all pairs
            </a>
          )
        }
      />
    </>
  );
}
