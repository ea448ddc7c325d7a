import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Field, inputClass } from "@/components/ui/field";
import { rowTokensQuery, type Token } from "@/features/files/api";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { modelsQuery } from "@/lib/queries";
import { visible } from "@/lib/visible-text";

// Each token is an element; thousands of them would make the page slow.
const CUT = 1_000;

/** The exact tokens of a row for a base model: what its template makes of it, and what is trained. */
export function Tokens({ fileId, line }: { fileId: string; line: number }) {
  const models = useQuery(modelsQuery);
  const bases = models.data?.data.filter(
    ({ kind, status }) => kind === "base" && status === "ready",
  );
  const [chosen, setChosen] = useState<string | null>(null);
  const model = chosen ?? bases?.[0]?.id ?? null;
  const tokens = useQuery({
    ...rowTokensQuery(fileId, line, model ?? ""),
    enabled: model !== null,
  });
  if (models.error) return <ErrorPanel error={models.error} retry={() => models.refetch()} />;
  if (bases?.length === 0) return <p className="text-muted">No base model is registered.</p>;
  return (
    <section aria-label={`Tokens of line ${line}`} className="flex flex-col gap-3">
      <Field label="Base model">
        {(control) => (
          <select
            {...control}
            className={cx(inputClass, "max-w-sm")}
            value={model ?? ""}
            onChange={(event) => setChosen(event.target.value)}
          >
            {bases?.map(({ id }) => (
              <option key={id}>{id}</option>
            ))}
          </select>
        )}
      </Field>
      {tokens.isPending && <Loading what="Making the tokens" />}
      {tokens.error && <ErrorPanel error={tokens.error} retry={() => tokens.refetch()} />}
      {tokens.data?.dropped && <p>A run on this base leaves the row out. {tokens.data.why}</p>}
      {tokens.data && !tokens.data.dropped && (
        <>
          <p className="text-sm text-muted">
            <span className={TRAINED}>Underlined</span> tokens are trained. Point at a token to see
            its number.
            {tokens.data.truncated && " The row is longer than max_length and was cut."}
            {tokens.data.template === "default" &&
              " The base has no chat template: the default one was used."}
          </p>
          <Part name="Prompt, shared by both answers" tokens={tokens.data.prefix} />
          <div className="grid gap-3 md:grid-cols-2">
            <Part name="Chosen" tokens={tokens.data.chosen} />
            <Part name="Rejected" tokens={tokens.data.rejected} />
          </div>
        </>
      )}
    </section>
  );
}

const TRAINED = "underline decoration-2 underline-offset-4 decoration-chosen";

function Part({ name, tokens }: { name: string; tokens: Token[] | null }) {
  const [isWhole, setWhole] = useState(false);
  if (tokens === null) return null;
  const trained = tokens.filter((token) => token.trained).length;
  const shown = isWhole ? tokens : tokens.slice(0, CUT);
  return (
    <div className="min-w-0 rounded-md border border-line bg-surface p-3">
      <p className="mb-1 flex justify-between gap-2 text-sm">
        <span className="font-medium">{name}</span>
        <span className="text-muted">
          {tokens.length === 1 ? "1 token" : `${number(tokens.length)} tokens`}, {number(trained)}{" "}
          trained
        </span>
      </p>
      <p className="font-mono text-sm break-words whitespace-pre-wrap">
        {shown.map((token, index) => (
          <span
            // biome-ignore lint/suspicious/noArrayIndexKey: a token's place is what it is known by.
            key={index}
            title={`${token.id}`}
            className={cx(index % 2 === 1 && "bg-line/60", token.trained && TRAINED)}
          >
            {visible(token.text).replaceAll("\n", "⏎\n")}
          </span>
        ))}
      </p>
      {tokens.length > CUT && (
        <Button small className="mt-2" onClick={() => setWhole(!isWhole)}>
          {isWhole ? "Show less" : `Show all ${number(tokens.length)} tokens`}
        </Button>
      )}
    </div>
  );
}
