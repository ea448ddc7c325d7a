import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Cell, Row, Table } from "@/components/ui/table";
import { UnmaskToggle } from "@/features/files/components/unmask-toggle";
import { droppedQuery, isMasked } from "@/features/files/rows-api";
import { useUnmask } from "@/features/files/unmask";
import { reasonInWords, remarkInWords, shapeInWords } from "@/features/files/words";
import type { Schema } from "@/lib/api";
import { number } from "@/lib/format";
import { visible } from "@/lib/visible-text";

const route = getRouteApi("/shell/files/$fileId");

type FileReport = Schema<"FileReport">;

/** The result of a file's check, in sentences, and each row that was dropped. */
export function Report({ fileId, report }: { fileId: string; report: FileReport }) {
  return (
    <Card title="Report">
      <div className="flex flex-col gap-4">
        <div className="flex flex-col gap-1">
          <p>{verdict(report)}</p>
          <Shapes report={report} />
          <Suggestion fileId={fileId} columns={report.suggested_columns} />
        </div>
        {report.remarks.length > 0 && <Remarks remarks={report.remarks} />}
        {report.findings.length > 0 && <DroppedRows fileId={fileId} report={report} />}
      </div>
    </Card>
  );
}

export function verdict(report: Pick<FileReport, "rows" | "accepted" | "joined">): string {
  const { rows, accepted, joined } = report;
  if (joined > 0) {
    const dropped = number(rows - accepted - joined);
    return `${number(accepted)} pairs were made of ${number(rows)} rows; ${dropped} were dropped.`;
  }
  if (rows === 0) return "The file holds no row.";
  if (accepted === 0) return `None of its ${number(rows)} rows can be used.`;
  if (accepted === rows)
    return rows === 1 ? "Its one row can be used." : `All ${number(rows)} rows can be used.`;
  const dropped = rows - accepted;
  const were = dropped === 1 ? "1 was" : `${number(dropped)} were`;
  return `${number(accepted)} of ${number(rows)} rows can be used; ${were} dropped.`;
}

function Shapes({ report: { shape, shapes } }: { report: FileReport }) {
  if (shape === null) return null;
  const found = Object.entries(shapes).sort((a, b) => b[1] - a[1]);
  return (
    <>
      {found.length === 1 ? (
        <p>
          Detected shape: {shapeInWords(shape)} (<code className="font-mono">{shape}</code>).
        </p>
      ) : (
        <>
          <p>Several shapes were detected:</p>
          <ul className="list-disc pl-6">
            {found.map(([name, count]) => (
              <li key={name}>
                {number(count)} × {shapeInWords(name)} (<code className="font-mono">{name}</code>)
              </li>
            ))}
          </ul>
        </>
      )}
      {"messages" in shapes && (
        <p>
          {found.length === 1
            ? "They have no rejected answer, so they suit supervised tuning and not ORPO."
            : "Those with one answer have no rejected one: ORPO leaves them out."}
        </p>
      )}
    </>
  );
}

/** The columns under which the rows would be pairs, and the command that reads them so. */
function Suggestion(props: { fileId: string; columns: FileReport["suggested_columns"] }) {
  const { fileId, columns } = props;
  if (!columns) return null;
  const option = Object.entries(columns)
    .map(([field, name]) => `${field}=${name}`)
    .join(",");
  const quoted = /^[\w=,.-]+$/.test(option) ? option : `'${option}'`;
  return (
    <p>
      Its rows are pairs if its columns are read under other names, as above. On the command line:{" "}
      <code className="font-mono break-words">
        oddsmith files reread {fileId} --columns {quoted}
      </code>
    </p>
  );
}

/** What is in accepted rows and does not reach the model as it stands. */
function Remarks({ remarks }: Pick<FileReport, "remarks">) {
  return (
    <section aria-label="Remarks on accepted rows">
      <h3 className="mb-2 font-medium">Remarks</h3>
      <ul className="list-disc pl-6">
        {remarks.map(({ code, key, rows, lines }) => (
          <li key={`${code}:${key}`} className="break-words">
            <code className="font-mono">{key}</code> {remarkInWords(code)}:{" "}
            {rows === 1 ? "1 row" : `${number(rows)} rows`}
            <span className="text-muted">
              , {lines.length === 1 ? "line" : "lines"} {lines.map(number).join(", ")}
              {rows > lines.length && "…"}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function DroppedRows({ fileId, report }: { fileId: string; report: FileReport }) {
  const [hasTexts, setTexts] = useState(false);
  const texts = useQuery({ ...droppedQuery(fileId, false), enabled: hasTexts });
  const { isOn } = useUnmask();
  const hasMasked = hasTexts && Boolean(texts.data?.some(isMasked));
  const unmasked = useQuery({ ...droppedQuery(fileId, true), enabled: isOn && hasMasked });
  const shownTexts = (isOn ? unmasked.data : undefined) ?? texts.data;
  const { code = null } = route.useSearch();
  const navigate = route.useNavigate();
  const setCode = (code: string | null) =>
    navigate({ search: (search) => ({ ...search, code: code ?? undefined }), resetScroll: false });
  const reasons = Object.entries(report.dropped).sort((a, b) => b[1] - a[1]);
  const total = report.rows - report.accepted - report.joined;
  const shown = report.findings
    .map((finding, place) => ({ finding, original: hasTexts ? shownTexts?.[place] : undefined }))
    .filter(({ finding }) => code === null || finding.code === code);
  const isCut = report.findings.length < total;
  const place = report.container === "parquet" ? "Row" : "Line";
  return (
    <>
      <fieldset className="flex flex-wrap gap-2">
        <legend className="mb-2 font-medium">Dropped rows, by reason</legend>
        <Filter name="All" count={total} isOn={code === null} onChoose={() => setCode(null)} />
        {reasons.map(([reason, count]) => (
          <Filter
            key={reason}
            name={reasonInWords(reason)}
            count={count}
            isOn={code === reason}
            onChoose={() => setCode(reason)}
          />
        ))}
      </fieldset>
      {isCut && (
        <p className="text-muted">
          The first {number(report.findings.length)} are listed
          {shown.length === 0 ? "; none of them has this reason." : "."}
        </p>
      )}
      <div className="flex flex-wrap items-center gap-3">
        <Button small aria-pressed={hasTexts} onClick={() => setTexts(!hasTexts)}>
          {hasTexts ? "Hide the original text" : "Show the original text"}
        </Button>
        {hasMasked && <UnmaskToggle />}
        {hasTexts && texts.isPending && <Loading what="Reading the file" />}
      </div>
      {hasTexts && texts.error && <ErrorPanel error={texts.error} retry={() => texts.refetch()} />}
      {isOn && hasMasked && unmasked.error && (
        <ErrorPanel error={unmasked.error} retry={() => unmasked.refetch()} />
      )}
      {shown.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: without it a keyboard can't scroll here.
        <section tabIndex={0} aria-label="Findings" className="max-h-96 overflow-y-auto">
          <Table caption="Findings by line" columns={[place, "Reason", "What was found"]}>
            {shown.map(({ finding, original }) => (
              <Row key={`${finding.line}:${finding.column}:${finding.code}:${finding.message}`}>
                <Cell label={place} className="md:whitespace-nowrap">
                  {number(finding.line)}
                  {finding.column !== null && (
                    <span className="text-muted">, column {number(finding.column)}</span>
                  )}
                </Cell>
                <Cell label="Reason">{reasonInWords(finding.code)}</Cell>
                <Cell label="Found">
                  {finding.message}
                  {original && <Original row={original} />}
                </Cell>
              </Row>
            ))}
          </Table>
        </section>
      )}
    </>
  );
}

/** A dropped row as it stands in the file. */
function Original({ row }: { row: Schema<"DroppedRow"> }) {
  if (row.text === null) return <p className="text-sm text-muted">It can't be shown as text.</p>;
  return (
    <pre className="mt-1 max-h-48 overflow-y-auto rounded-md border border-line bg-bg p-2 font-mono text-sm break-words whitespace-pre-wrap">
      {row.first_character > 1 && (
        <span className="text-muted">From character {number(row.first_character)}: </span>
      )}
      {visible(row.text)}
    </pre>
  );
}

function Filter(props: { name: string; count: number; isOn: boolean; onChoose: () => void }) {
  return (
    <Button
      small
      aria-pressed={props.isOn}
      className="aria-pressed:border-accent aria-pressed:text-accent"
      onClick={props.onChoose}
    >
      {props.isOn && <span aria-hidden="true">✓</span>}
      {props.name} {number(props.count)}
    </Button>
  );
}
