import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Field, inputClass } from "@/components/ui/field";
import { Cell, Row, Table } from "@/components/ui/table";
import { BaseField, useBaseChoice } from "@/features/files/components/base-choice";
import { statisticsQuery } from "@/features/files/rows-api";
import type { Schema } from "@/lib/api";
import { duration, number, percent } from "@/lib/format";

type Found = Schema<"FileStatistics">;
type Spread = Schema<"Spread">;

const DEFAULT_LENGTH = 2048;
const SIDES = [
  ["prompt", "Prompt, shared"],
  ["chosen", "Chosen"],
  ["rejected", "Rejected"],
  ["sequence", "Longer sequence"],
] as const;

/** Tokens, turns, steps and time for a base model. Counted on request: it takes seconds. */
export function Statistics({ fileId }: { fileId: string }) {
  const base = useBaseChoice();
  const { bases, model } = base;
  const [length, setLength] = useState(String(DEFAULT_LENGTH));
  const [asked, setAsked] = useState<{ model: string; length: number } | null>(null);
  const found = useQuery({
    ...statisticsQuery(fileId, asked?.model ?? "", asked?.length ?? DEFAULT_LENGTH),
    enabled: asked !== null,
  });
  const wanted = Number.parseInt(length, 10);
  const isValid = wanted >= 8 && wanted <= 1_048_576;
  return (
    <Card title="For a base model">
      {base.error && <ErrorPanel error={base.error} retry={base.retry} />}
      {bases?.length === 0 && <p className="text-muted">No base model is registered.</p>}
      {bases && bases.length > 0 && (
        <form
          className="flex flex-wrap items-end gap-3"
          onSubmit={(event) => {
            event.preventDefault();
            if (model !== null && isValid) setAsked({ model, length: wanted });
          }}
        >
          <BaseField label="Base model" choice={base} />
          <Field label="max_length">
            {(control) => (
              <input
                {...control}
                size={9}
                inputMode="numeric"
                className={inputClass}
                aria-invalid={!isValid || undefined}
                value={length}
                onChange={(event) => setLength(event.target.value)}
              />
            )}
          </Field>
          <Button type="submit" disabled={!isValid || found.isFetching}>
            Count tokens
          </Button>
        </form>
      )}
      {asked && found.isFetching && <Loading what="Counting the tokens of a sample" />}
      {found.error && <ErrorPanel error={found.error} retry={() => found.refetch()} />}
      {found.data && <Figures found={found.data} fileId={fileId} />}
    </Card>
  );
}

function Figures({ found, fileId }: { found: Found; fileId: string }) {
  return (
    <div className="mt-4 flex flex-col gap-4">
      <p className="text-sm text-muted">
        Counted on{" "}
        {found.sampled === found.rows ? "all" : `a sample of ${number(found.sampled)} of`}{" "}
        {number(found.rows)} rows, before anything is cut.
        {found.template === "default" &&
          " The base has no chat template: the default one was used."}
      </p>
      <Table
        caption="Tokens by side"
        columns={[
          "Tokens",
          "Mean",
          "Median",
          "95th percentile",
          "Maximum",
          "From 0 to the maximum",
        ]}
      >
        {SIDES.map(([side, name]) => {
          const spread = found.tokens[side];
          return (
            spread &&
            spread.max > 0 && (
              <Row key={side}>
                <Cell label="Tokens">{name}</Cell>
                <Cell label="Mean">{number(spread.mean, 0)}</Cell>
                <Cell label="Median">{number(spread.p50)}</Cell>
                <Cell label="95th percentile">{number(spread.p95)}</Cell>
                <Cell label="Maximum">{number(spread.max)}</Cell>
                <Cell label="Histogram">
                  <Histogram spread={spread} name={name} />
                </Cell>
              </Row>
            )
          );
        })}
      </Table>
      <dl className="grid gap-x-4 gap-y-1 sm:grid-cols-[max-content_minmax(0,1fr)]">
        {factsOf(found).map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="text-muted">{name}</dt>
            <dd className="mb-2 sm:mb-0">{value}</dd>
          </div>
        ))}
        <dt className="text-muted">Training takes</dt>
        <dd>{found.job?.speed ? timeOf(found.job) : <NotMeasured fileId={fileId} />}</dd>
      </dl>
      {warningsOf(found).map((warning) => (
        <p key={warning} className="text-sm">
          {warning}
        </p>
      ))}
    </div>
  );
}

function NotMeasured({ fileId }: { fileId: string }) {
  return (
    <>
      Not measured with this base yet:{" "}
      <Link to="/jobs/new" search={{ file: fileId }} className="text-accent underline">
        measure it before a run
      </Link>
      .
    </>
  );
}

const timeOf = ({ train_s, speed }: Schema<"JobSize">) =>
  `${duration(train_s)} on ${speed?.device}, at ${number(speed?.tokens_per_s, 0)} tokens a second`;

/** The figures beside the table, each with its name. */
export function factsOf(found: Found): [string, string][] {
  const { cut, dropped, sampled, job } = found;
  const share = (count: number) => `${number(count)} (${percent(count / sampled, 1)})`;
  const facts: [string, string][] = [
    [`Longer than ${number(found.max_length)} tokens`, share(cut.longer)],
  ];
  if (cut.trained > 0) facts.push(["Trained, but cut", share(cut.trained)]);
  for (const [why, count] of Object.entries(dropped))
    facts.push([`Left out: ${why.replaceAll("_", " ")}`, share(count)]);
  const turns = found.turns.map(({ turns, pairs }) => `${turns} turns: ${number(pairs)}`);
  facts.push(["Pairs by turns", turns.join(", ")]);
  const roles = Object.entries(found.roles).map(([role, pairs]) => `${role}: ${number(pairs)}`);
  facts.push(["Pairs by role", roles.join(", ")]);
  if (found.saved_by_sharing !== null)
    facts.push(["Saved by computing prompts once", `${percent(found.saved_by_sharing)} of tokens`]);
  if (job)
    facts.push([
      "A run on the file",
      `${number(job.steps)} steps on ${number(job.pairs)} pairs, ${number(job.tokens)} tokens; ` +
        `${number(job.held_out_pairs)} pairs held out`,
    ]);
  return facts;
}

const LINES = 10;

const linesOf = (lines: number[], pairs: number) =>
  `${pairs === 1 ? "line" : "lines"} ${lines.slice(0, LINES).map(number).join(", ")}${pairs > LINES ? "…" : ""}`;

/** Which pairs would be cut or left out, with their lines, and what helps. */
export function warningsOf({ cut, left_out }: Found): string[] {
  const warnings: string[] = [];
  if (cut.message !== null) {
    const lines = cut.lines.length > 0 ? ` Cut: ${linesOf(cut.lines, cut.trained)}.` : "";
    const repairs = cut.repairs.map(({ max_length, longer }) =>
      longer === 0
        ? ` With max_length ${number(max_length)}, none is longer.`
        : ` With max_length ${number(max_length)}, ${number(longer)} are longer.`,
    );
    warnings.push(`${cut.message}${lines}${repairs.join("")}`);
  }
  for (const { code, lines, pairs, message, hint } of left_out)
    warnings.push(
      `Left out, ${code.replaceAll("_", " ")}: ${linesOf(lines, pairs)}. ${message} ${hint}`,
    );
  return warnings;
}

const HEIGHT = 28;

function Histogram({ spread, name }: { spread: Spread; name: string }) {
  const most = Math.max(...spread.histogram);
  const count = spread.histogram.length;
  return (
    <svg
      role="img"
      aria-label={`${name}: from 0 to ${number(spread.max)} tokens, in steps of ${number(spread.bin_width)}`}
      viewBox={`0 0 ${4 * count} ${HEIGHT}`}
      preserveAspectRatio="none"
      className="h-7 w-full max-w-48 fill-accent"
    >
      {spread.histogram.map((pairs, bin) => {
        const height = pairs === 0 ? 0 : Math.max(1, (HEIGHT * pairs) / most);
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: a bin is known by its place.
          <rect key={bin} x={4 * bin} y={HEIGHT - height} width={3} height={height}>
            <title>
              {`${number(bin * spread.bin_width)} to ${number((bin + 1) * spread.bin_width - 1)}: ${number(pairs)} pairs`}
            </title>
          </rect>
        );
      })}
    </svg>
  );
}
