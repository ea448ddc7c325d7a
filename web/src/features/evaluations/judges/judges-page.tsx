import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Empty, Loading, Page } from "@/components/page";
import { Button } from "@/components/ui/button";
import { AgreementTable } from "@/features/evaluations/components/agreement-table";
import { Rooms } from "@/features/evaluations/components/rooms";
import { AddJudge } from "@/features/evaluations/judges/add-judge";
import { MeasureAgreement } from "@/features/evaluations/judges/measure-agreement";
import { deleteJudge, judgesQuery } from "@/features/evaluations/judges-api";
import type { Judge } from "@/features/evaluations/objects";
import { ago, moment } from "@/lib/format";

/** The judges, each with how often it agrees with people. */
export function JudgesPage() {
  const judges = useQuery(judgesQuery);
  return (
    <Page
      title="Judges"
      lead="What compares or rates answers, and how often each agrees with people."
    >
      <Rooms />
      {judges.isPending && <Loading what="Loading the judges" />}
      {judges.error && <ErrorPanel error={judges.error} retry={() => judges.refetch()} />}
      {judges.data?.length === 0 && (
        <Empty>No judge yet. Add one below: suites that compare answers need it.</Empty>
      )}
      {judges.data?.map((judge) => (
        <JudgeCard key={judge.id} judge={judge} />
      ))}
      {judges.data && (
        <Needs scope="write" lacking="explained">
          <AddJudge />
        </Needs>
      )}
    </Page>
  );
}

const KINDS: Record<Judge["kind"], string> = {
  openai: "a model of another service",
  deployment: "a deployed model",
  reward: "a reward model",
};

function JudgeCard({ judge }: { judge: Judge }) {
  const { name, kind, model, base_url, secret, created_at } = judge;
  const isMeasured = Object.keys(judge.agreement).length > 0;
  return (
    <article
      aria-label={name}
      className="flex flex-col gap-3 rounded-lg border border-line bg-surface p-4"
    >
      <header className="flex flex-wrap items-start justify-between gap-3">
        <div className="min-w-0">
          <h2 className="font-semibold break-words">{name}</h2>
          <p className="flex flex-wrap gap-x-4 text-muted">
            <span>{KINDS[kind]}</span>
            {model !== name && <span className="break-all">{model}</span>}
            {base_url && <span className="break-all">{base_url}</span>}
            {secret && <span>with the stored key {secret}</span>}
            <span title={moment(created_at)}>added {ago(created_at)}</span>
          </p>
        </div>
        <Needs scope="write">
          <Delete judge={judge} />
        </Needs>
      </header>
      <AgreementTable judge={judge} />
      {!isMeasured && <p className="text-muted">Its agreement with people was not measured yet.</p>}
      <Needs scope="write" lacking="hidden">
        <MeasureAgreement judge={judge} />
      </Needs>
    </article>
  );
}

function Delete({ judge }: { judge: Judge }) {
  const queries = useQueryClient();
  return (
    <ConfirmDialog
      title={`Delete the judge ${judge.name}?`}
      confirm="Delete the judge"
      onConfirm={async () => {
        await deleteJudge(judge.id);
        await queries.invalidateQueries(judgesQuery);
      }}
      trigger={
        <Button small aria-label={`Delete ${judge.name}`}>
          Delete
        </Button>
      }
    >
      Evaluations keep what it said. New ones can't use it.
    </ConfirmDialog>
  );
}
