import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Empty, Loading, Page } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Cell, Row, Table } from "@/components/ui/table";
import { DeleteFile } from "@/features/files/components/delete-file";
import { FileState } from "@/features/files/components/file-state";
import { Uploader } from "@/features/files/components/uploader";
import type { Schema } from "@/lib/api";
import { ago, bytes, moment, number } from "@/lib/format";
import { filesQuery } from "@/lib/queries";

const STEP = 100;

export function FilesPage() {
  const [limit, setLimit] = useState(STEP);
  const files = useQuery({ ...filesQuery(limit), placeholderData: keepPreviousData });
  return (
    <Page
      title="Files"
      lead="Preference pairs to train on. Each file is checked row by row as it arrives."
    >
      <Needs scope="write" lacking="explained">
        <Uploader />
      </Needs>
      {files.isPending && <Loading what="Loading the files" />}
      {files.error && <ErrorPanel error={files.error} retry={() => files.refetch()} />}
      {files.data?.data.length === 0 && (
        <Empty>No file yet. Upload pairs, and their report stands here.</Empty>
      )}
      {files.data && files.data.data.length > 0 && (
        <Card>
          <FilesTable files={files.data.data} />
          {files.data.has_more && (
            <Button className="mt-3" onClick={() => setLimit(limit + STEP)}>
              Show more
            </Button>
          )}
        </Card>
      )}
    </Page>
  );
}

function FilesTable({ files }: { files: Schema<"FileObject">[] }) {
  return (
    <Table
      caption="Uploaded files"
      columns={["File", "State", "Rows", "Size", "Uploaded", "Actions"]}
    >
      {files.map((file) => (
        <Row key={file.id}>
          <Cell label="File" className="md:max-w-96">
            <Link
              to="/files/$fileId"
              params={{ fileId: file.id }}
              className="font-medium text-accent underline"
            >
              {file.filename}
            </Link>
          </Cell>
          <Cell label="State">
            <FileState file={file} />
          </Cell>
          <Cell label="Rows">{rowsOf(file)}</Cell>
          <Cell label="Size">{bytes(file.bytes)}</Cell>
          <Cell label="Uploaded" className="whitespace-nowrap">
            <time
              dateTime={new Date(file.created_at * 1000).toISOString()}
              title={moment(file.created_at)}
            >
              {ago(file.created_at)}
            </time>
          </Cell>
          <Cell label="Actions">
            <Needs scope="write">
              <DeleteFile fileId={file.id} filename={file.filename} small />
            </Needs>
          </Cell>
        </Row>
      ))}
    </Table>
  );
}

/** The number of a file's rows, once it was checked. */
function rowsOf(file: Schema<"FileObject">): ReactNode {
  if (file.status === "uploaded") return <span className="text-muted">…</span>;
  if (file.accepted === file.rows) return number(file.rows);
  return `${number(file.accepted)} of ${number(file.rows)} usable`;
}
