import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Loading, Page } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Cell, Row, Table } from "@/components/ui/table";
import { CreateKey } from "@/features/api-keys/create-key";
import type { Schema } from "@/lib/api";
import { keysQuery, revokeKey } from "@/lib/api-keys";
import { ago, moment } from "@/lib/format";
import { sessionQuery } from "@/lib/queries";

export function ApiKeysPage() {
  const keys = useQuery(keysQuery);
  const session = useQuery(sessionQuery);
  return (
    <Page
      title="Keys"
      lead={
        <>
          Programs and people sign in with an API key. Only a hash of each is stored.{" "}
          <a href="/docs" className="text-accent underline">
            API reference
          </a>
        </>
      }
    >
      {keys.isPending && <Loading what="Loading the keys" />}
      {keys.error && <ErrorPanel error={keys.error} retry={() => keys.refetch()} />}
      {keys.data && (
        <>
          <Needs scope="admin" lacking="explained">
            <CreateKey />
          </Needs>
          <Card title="Keys in use">
            <Table caption="API keys" columns={["Name", "Key", "May", "Created", "Actions"]}>
              {keys.data.data.map((key) => (
                <KeyRow key={key.id} record={key} isOwn={key.id === session.data?.key_id} />
              ))}
            </Table>
          </Card>
        </>
      )}
    </Page>
  );
}

function KeyRow({ record, isOwn }: { record: Schema<"ApiKeyObject">; isOwn: boolean }) {
  const queries = useQueryClient();
  const revoke = async () => {
    await revokeKey(record.id);
    await queries.invalidateQueries(keysQuery);
  };
  return (
    <Row>
      <Cell label="Name" className="md:max-w-96">
        <span className="font-medium">{record.name}</span>
        {isOwn && <span className="text-muted"> (this browser's)</span>}
      </Cell>
      <Cell label="Key">
        <code className="font-mono text-sm break-all">{record.hint}</code>
      </Cell>
      <Cell label="May">
        {record.scopes.join(", ")}
        {record.evaluation_id && (
          <>
            {" on "}
            <Link
              to="/evaluations/$evaluationId/vote"
              params={{ evaluationId: record.evaluation_id }}
              className="text-accent underline"
            >
              one evaluation
            </Link>
          </>
        )}
      </Cell>
      <Cell label="Created">
        <span title={moment(record.created_at)}>{ago(record.created_at)}</span>
      </Cell>
      <Cell label="Actions">
        <Needs scope="admin">
          <ConfirmDialog
            title={`Revoke ${record.name}?`}
            confirm="Revoke the key"
            onConfirm={revoke}
            trigger={
              <Button small aria-label={`Revoke ${record.name}`}>
                Revoke
              </Button>
            }
          >
            Programs that use it are refused within five seconds. This can't be undone.
            {isOwn && " This browser is signed in with it and will be signed out."}
          </ConfirmDialog>
        </Needs>
      </Cell>
    </Row>
  );
}
