import { useState } from "react";
import { Button } from "@/components/ui/button";
import { Cell, Row, Table } from "@/components/ui/table";
import { Masked } from "@/features/files/components/unmask-toggle";
import {
  countInWords,
  hasMoreLines,
  KIND_NAMES,
  KINDS,
  linesOf,
  sentenceOf,
} from "@/features/files/overlap";
import type { Overlaps } from "@/features/files/overlap-api";
import {
  lineSteps,
  offerLines,
  useOfferedSteps,
  withdrawLines,
} from "@/features/files/recipe-draft";
import type { Schema } from "@/lib/api";
import { number, percent } from "@/lib/format";
import { visible } from "@/lib/visible-text";

/** Which rows overlap, with the first pairs of each file, and a step that drops them. */
export function OverlapResult(props: { fileId: string; found: Overlaps; isMaskable: boolean }) {
  const { fileId, found, isMaskable } = props;
  const isEmpty = found.same.rows + found.near.rows === 0;
  return (
    <section
      aria-label="Result of the comparison"
      className="flex flex-col gap-4 border-t border-line pt-4"
    >
      <div className="flex max-w-prose flex-col gap-1">
        <p role="status" className="font-medium">
          {sentenceOf(found)}
        </p>
        {found.message && <p>{found.message}</p>}
        {found.against.map(
          ({ file_id, filename, without_prompt }) =>
            without_prompt > 0 && (
              <p key={file_id} className="break-words text-muted">
                In {without_prompt === 1 ? "1 row" : `${number(without_prompt)} rows`} of {filename}{" "}
                no prompt was found.
              </p>
            ),
        )}
        {found.cut && <p className="text-muted">The answer was too large: pairs are missing.</p>}
      </div>
      {!isEmpty && <Drop fileId={fileId} found={found} />}
      <Table
        caption="Overlap with each file"
        columns={["File", "Its prompts", KIND_NAMES.same, KIND_NAMES.near]}
      >
        {found.against.map(({ file_id, filename, prompts, same, near }) => (
          <Row key={file_id}>
            <Cell label="File">{filename}</Cell>
            <Cell label="Its prompts">{number(prompts)}</Cell>
            <Cell label="The same">{countInWords(same)}</Cell>
            <Cell label="Nearly">{countInWords(near)}</Cell>
          </Row>
        ))}
      </Table>
      {isMaskable && <Masked isUnmasked={!found.masked} />}
      {found.against.flatMap((file) =>
        KINDS.map((kind) => (
          <Pairs
            key={`${file.file_id} ${kind}`}
            title={`${KIND_NAMES[kind]} in ${file.filename}`}
            found={file[kind]}
          />
        )),
      )}
    </section>
  );
}

/** Puts the lines into the recipe. */
function Drop({ fileId, found }: { fileId: string; found: Overlaps }) {
  const lines = linesOf(found);
  const steps = lineSteps(useOfferedSteps(fileId));
  const isOffered = lines.every((line) => steps.get(line) === "drop_rows");
  const count = lines.length === 1 ? "1 line" : `${number(lines.length)} lines`;
  return (
    <div className="flex flex-wrap items-center gap-3">
      <Button
        aria-pressed={isOffered}
        className="aria-pressed:border-accent aria-pressed:text-accent"
        onClick={() =>
          isOffered ? withdrawLines(fileId, lines) : offerLines(fileId, "drop_rows", lines)
        }
      >
        Drop {count} by the recipe
      </Button>
      <p role="status" className="text-sm text-muted">
        {isOffered
          ? "The recipe below drops them. Click again to take that back."
          : "Nothing changes before you make a version."}
        {hasMoreLines(found) &&
          " More rows overlap than are named: compare the version that you make once more."}
      </p>
    </div>
  );
}

// Twenty files may have twenty pairs each.
const FIRST = 3;

/** The first pairs of one kind with one file. */
function Pairs({ title, found }: { title: string; found: Schema<"OverlapOfKind"> }) {
  const { rows, pairs } = found;
  const [hasAll, setAll] = useState(false);
  const shown = hasAll ? pairs : pairs.slice(0, FIRST);
  if (pairs.length === 0) return null;
  return (
    <div className="flex flex-col gap-2">
      <h3 className="font-medium break-words">{title}</h3>
      <ol aria-label={title} className="flex flex-col gap-2">
        {shown.map((pair) => (
          <Pair key={`${pair.line}:${pair.against_line}`} pair={pair} />
        ))}
      </ol>
      <div className="flex flex-wrap items-center gap-3 empty:hidden">
        {pairs.length > FIRST && (
          <Button small aria-expanded={hasAll} onClick={() => setAll(!hasAll)}>
            {hasAll ? "Show fewer" : `Show the first ${pairs.length}`}
            <span className="sr-only">of: {title}</span>
          </Button>
        )}
        {rows > shown.length && (
          <p className="text-sm text-muted">
            {number(shown.length)} of {number(rows)} rows are shown.
          </p>
        )}
      </div>
    </div>
  );
}

function Pair({ pair }: { pair: Schema<"OverlappingPair"> }) {
  const lines = [number(pair.line), number(pair.against_line)];
  if (pair.prompt === pair.against_prompt && pair.similarity === 1)
    return (
      <li className="rounded-md border border-line bg-bg p-3">
        <Text
          name={`This file, line ${lines[0]}; the other, line ${lines[1]}`}
          text={pair.prompt}
        />
      </li>
    );
  return (
    <li className="grid gap-x-4 gap-y-2 rounded-md border border-line bg-bg p-3 md:grid-cols-2">
      <Text name={`This file, line ${lines[0]}`} text={pair.prompt} />
      <Text
        name={`The other file, line ${lines[1]}`}
        note={pair.similarity < 1 ? `${percent(pair.similarity)} alike` : undefined}
        text={pair.against_prompt}
      />
    </li>
  );
}

function Text({ name, note, text }: { name: string; note?: string | undefined; text: string }) {
  return (
    <div className="min-w-0">
      <p className="flex justify-between gap-2 text-sm text-muted">
        <span>{name}</span>
        {note && <span className="shrink-0">{note}</span>}
      </p>
      <p className="break-words whitespace-pre-wrap">{visible(text) || "(no text)"}</p>
    </div>
  );
}
