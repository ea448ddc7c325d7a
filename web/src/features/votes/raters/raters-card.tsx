import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { CopyButton } from "@/components/copy-button";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Field, inputClass } from "@/components/ui/field";
import { Cell, Row, Table } from "@/components/ui/table";
import { ApiError, type Schema } from "@/lib/api";
import { createKey, ratersQuery, revokeKey } from "@/lib/api-keys";
import { ago, moment, number } from "@/lib/format";
import { visible } from "@/lib/visible-text";

/** Hosts that mean the machine itself. */
const LOOPBACK = /^(localhost|127\.[\d.]+|\[::1\])$/;

/** People who vote on the cards of an evaluation by a link: who was invited, and a new link. */
export function RatersCard(props: { evaluationId: string; onClose: () => void }) {
  return (
    <Card
      title="Raters"
      actions={
        <Button small onClick={props.onClose}>
          Close
        </Button>
      }
    >
      <p className="mb-4 max-w-prose text-muted">
        A rater votes on these cards by a link, and can open nothing else. No page shows a rater the
        models before the last vote.
      </p>
      <Invite evaluationId={props.evaluationId} />
      <Raters evaluationId={props.evaluationId} />
    </Card>
  );
}

function Invite({ evaluationId }: { evaluationId: string }) {
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const invite = useMutation({
    mutationFn: () =>
      createKey({ name: name.trim(), scopes: ["vote"], evaluation_id: evaluationId }),
    onSuccess: () => {
      setName("");
      return queries.invalidateQueries({ queryKey: ratersQuery(evaluationId).queryKey });
    },
    // The answer holds the link, which must not be kept after this page is left.
    gcTime: 0,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    invite.mutate();
  };
  const { error } = invite;
  const isAboutName = error instanceof ApiError && error.param === "name";
  return (
    <>
      <form className="flex flex-col items-start gap-3 sm:flex-row sm:items-end" onSubmit={submit}>
        <div className="w-full sm:max-w-80">
          <Field label="Name of the rater" error={isAboutName ? error.message : null}>
            {(control) => (
              <input
                {...control}
                // biome-ignore lint/a11y/noAutofocus: the form was just asked for.
                autoFocus
                required
                maxLength={100}
                autoComplete="off"
                className={inputClass}
                value={name}
                onChange={(event) => setName(event.target.value)}
              />
            )}
          </Field>
        </div>
        <Button type="submit" look="primary" disabled={invite.isPending}>
          {invite.isPending ? "Making the link …" : "Make a link"}
        </Button>
      </form>
      {error && !isAboutName && <ErrorPanel error={error} />}
      {invite.data && <Link made={invite.data} />}
    </>
  );
}

function Link({ made }: { made: Schema<"CreatedApiKey"> }) {
  const url = `${location.origin}${made.path}`;
  const panel = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: announce each new link.
  useEffect(() => panel.current?.focus(), [url]);
  return (
    <section
      ref={panel}
      tabIndex={-1}
      aria-label={`The link for ${visible(made.name)}`}
      className="mt-4 rounded-lg border border-accent p-3"
    >
      <p>
        This is the link for <strong>{visible(made.name)}</strong>. It is shown only once: copy it
        now.
      </p>
      <p className="my-2 flex items-center gap-2">
        <code className="min-w-0 rounded-md bg-bg px-2 py-1 font-mono text-sm break-all">
          {url}
        </code>
        <CopyButton text={url} what="the link" />
      </p>
      {LOOPBACK.test(location.hostname) && (
        <p className="mb-2 text-sm text-rejected">
          {location.hostname} is an address of this machine only. For other devices, put the
          server’s address in its place.
        </p>
      )}
      <p className="text-sm text-muted">
        It works on several devices, and does not expire: it ends when you revoke it, or when the
        evaluation is deleted. Everyone who has it votes as {visible(made.name)}.
      </p>
    </section>
  );
}

function Raters({ evaluationId }: { evaluationId: string }) {
  const { data, error, refetch } = useQuery(ratersQuery(evaluationId));
  if (error) return <ErrorPanel error={error} retry={refetch} />;
  if (!data) return <Loading what="Loading the raters" />;
  if (data.data.length === 0) return null;
  return (
    <div className="mt-4">
      <Table caption="Raters" columns={["Rater", "Votes", "Invited", "Actions"]}>
        {data.data.map((rater) => (
          <Rater key={rater.id} rater={rater} />
        ))}
      </Table>
    </div>
  );
}

function Rater({ rater }: { rater: Schema<"ApiKeyObject"> }) {
  const queries = useQueryClient();
  const { id, votes, created_at } = rater;
  const name = visible(rater.name);
  const revoke = async () => {
    await revokeKey(id);
    await queries.invalidateQueries({ queryKey: ["api-keys"] });
  };
  return (
    <Row>
      <Cell label="Rater" className="md:max-w-96">
        <span className="font-medium">{name}</span>
      </Cell>
      <Cell label="Votes">{number(votes)}</Cell>
      <Cell label="Invited">
        <span title={moment(created_at)}>{ago(created_at)}</span>
      </Cell>
      <Cell label="Actions">
        <ConfirmDialog
          title={`Revoke the link of ${name}?`}
          confirm="Revoke the link"
          onConfirm={revoke}
          trigger={
            <Button small aria-label={`Revoke the link of ${name}`}>
              Revoke
            </Button>
          }
        >
          {name} is refused within five seconds. Votes that were cast stay. This can't be undone.
        </ConfirmDialog>
      </Cell>
    </Row>
  );
}
