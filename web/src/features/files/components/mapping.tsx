import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Cell, Row, Table } from "@/components/ui/table";
import {
  type Columns,
  columnsOf,
  type FirstRow,
  matching,
  namesOf,
  problemOf,
  underOwnNames,
} from "@/features/files/column-draft";
import { firstRowsQuery, rereadFile } from "@/features/files/columns-api";
import ColumnNames from "@/features/files/components/column-names";
import { Masked } from "@/features/files/components/unmask-toggle";
import { useUnmask } from "@/features/files/unmask";
import type { Schema } from "@/lib/api";
import { number } from "@/lib/format";
import { visible } from "@/lib/visible-text";

const SHOWN_ROWS = 3;
const SHOWN_NAMES = 20;
const SHOWN_CHARS = 160;

/** Of a file without a pair: which columns hold the pairs, tried on its first rows. */
export default function Mapping(props: { file: Schema<"FileObject">; suggested: Columns | null }) {
  const { file, suggested } = props;
  const own = file.columns ?? null;
  const [draft, setDraft] = useState<Columns>(suggested ?? own ?? {});
  const navigate = useNavigate();
  const queries = useQueryClient();
  const first = useQuery(firstRowsQuery(file.id, false));
  const isMasked = first.data?.isMasked ?? false;
  const { isOn } = useUnmask();
  const unmasked = useQuery({ ...firstRowsQuery(file.id, true), enabled: isOn && isMasked });
  const shown = (isOn ? unmasked.data : undefined) ?? first.data;
  const rows = (shown?.rows ?? []).map((row) => underOwnNames(row, own));
  const known = namesOf(rows);
  const columns = columnsOf(draft);
  const reread = useMutation({
    mutationFn: (columns: Columns) => rereadFile(file.id, columns),
    onSuccess: async (made) => {
      await queries.invalidateQueries({ queryKey: ["files", "list"] });
      await navigate({ to: "/files/$fileId", params: { fileId: made.id } });
    },
  });
  return (
    <Card title="Columns with other names">
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (columns) reread.mutate(columns);
        }}
      >
        <p className="max-w-prose">
          {suggested
            ? "The rows are pairs if the columns are read as below."
            : "If the columns of this file have other names, say which they are."}{" "}
          <span className="text-muted">
            A new file is made of the same bytes, which are not sent again. This one stays as it is.
          </span>
        </p>
        <ColumnNames
          draft={draft}
          onChange={(next) => {
            setDraft(next);
            reread.reset();
          }}
          known={known}
        />
        {known.length > 0 && <Known names={known} />}
        {first.isPending && <Loading what="Reading the first rows" />}
        {first.error && <ErrorPanel error={first.error} retry={() => first.refetch()} />}
        {columns && rows.length > 0 && <Try rows={rows} columns={columns} />}
        {columns && isMasked && <Masked isUnmasked={isOn && Boolean(unmasked.data)} />}
        {isOn && unmasked.error && (
          <ErrorPanel error={unmasked.error} retry={() => unmasked.refetch()} />
        )}
        <div>
          <Needs scope="write">
            <Button
              type="submit"
              look="primary"
              disabled={!columns || problemOf(draft) !== null || reread.isPending}
            >
              Read the file with these columns
            </Button>
          </Needs>
        </div>
        {reread.error && <ErrorPanel error={reread.error} />}
      </form>
    </Card>
  );
}

/** The columns that the first rows have. */
function Known({ names }: { names: readonly string[] }) {
  const more = names.length - SHOWN_NAMES;
  return (
    <p className="break-words text-muted">
      Columns of the first rows:{" "}
      {names.slice(0, SHOWN_NAMES).map((name, at) => (
        <span key={name}>
          {at > 0 && ", "}
          <code className="font-mono text-ink">{visible(name)}</code>
        </span>
      ))}
      {more > 0 && `, and ${number(more)} more`}
    </p>
  );
}

/** The first rows under a mapping. Whether they are pairs is judged once the file is read. */
function Try({ rows, columns }: { rows: readonly FirstRow[]; columns: Columns }) {
  const fields = Object.entries(columns);
  const { whole, unknown } = matching(rows, columns);
  return (
    <div className="flex flex-col gap-2">
      <p role="status" className={whole + unknown === 0 ? "text-rejected" : "text-muted"}>
        {number(whole)} of the first {number(rows.length)} rows have{" "}
        {fields.length === 1 ? "this column" : "all of these columns"}
        {unknown > 0 && `; of ${number(unknown)} long ones only the beginning is shown here`}.
      </p>
      <Table caption="The first rows, read so" columns={fields.map(([field]) => field)}>
        {rows.slice(0, SHOWN_ROWS).map(({ cells, isCut }, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: rows have no other name, and never move.
          <Row key={at}>
            {fields.map(([field, name]) => (
              <Cell key={field} label={field} className="max-w-96 align-top break-words">
                <Value text={cells.get(name)} name={name} isCut={isCut} />
              </Cell>
            ))}
          </Row>
        ))}
      </Table>
    </div>
  );
}

function Value(props: { text: string | undefined; name: string; isCut: boolean }) {
  const { text, name, isCut } = props;
  if (text === undefined && isCut) return <span className="text-muted">not shown: a long row</span>;
  if (text === undefined) return <span className="text-rejected">no column {name}</span>;
  const shown = visible(text.slice(0, SHOWN_CHARS));
  return text.length > SHOWN_CHARS ? `${shown}…` : shown || "(empty)";
}
