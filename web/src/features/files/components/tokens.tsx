import { useQuery } from "@tanstack/react-query";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { rowTokensQuery } from "@/features/files/api";
import { BaseField, useBaseChoice } from "@/features/files/components/base-choice";
import type { Schema } from "@/lib/api";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { visible } from "@/lib/visible-text";

/** The exact tokens of a row for a base model: what its template makes of it, and what is trained. */
export function Tokens({ fileId, line }: { fileId: string; line: number }) {
  const base = useBaseChoice();
  const { bases, model } = base;
  const tokens = useQuery({
    ...rowTokensQuery(fileId, line, model ?? ""),
    enabled: model !== null,
  });
  if (base.error) return <ErrorPanel error={base.error} retry={base.retry} />;
  if (bases?.length === 0) return <p className="text-muted">No base model is registered.</p>;
  return (
    <section aria-label={`Tokens of line ${line}`} className="flex flex-col gap-3">
      <BaseField label="Base model" choice={base} />
      {tokens.isPending && <Loading what="Making the tokens" />}
      {tokens.error && <ErrorPanel error={tokens.error} retry={() => tokens.refetch()} />}
      {tokens.data?.dropped && <p>A run on this base leaves the row out. {tokens.data.why}</p>}
      {tokens.data && !tokens.data.dropped && (
        <>
          <p className="text-sm text-muted">
            <span className={TRAINED}>Underlined</span> tokens are trained. Hover over a token to
            see its id.
            {tokens.data.truncated &&
              " The row is longer than the default of max_length and was cut."}
            {tokens.data.reasoning_stripped &&
              " The chat template leaves out the thoughts of the answers: they were removed."}
            {tokens.data.history_thoughts_dropped &&
              " The chat template leaves out thoughts of earlier turns."}
            {tokens.data.template === "default" &&
              " The base has no chat template: the default one was used."}
          </p>
          <Part name="Prompt, shared by both answers" part={tokens.data.prefix} />
          <div className="grid gap-3 md:grid-cols-2">
            <Part name="Chosen" part={tokens.data.chosen} />
            <Part name="Rejected" part={tokens.data.rejected} />
          </div>
        </>
      )}
    </section>
  );
}

const TRAINED = "underline decoration-2 underline-offset-4 decoration-chosen";

function Part({ name, part }: { name: string; part: Schema<"TokensOfPart"> | null }) {
  if (part === null) return null;
  const { n_tokens: total, n_trained: trained, tokens } = part;
  return (
    <div className="min-w-0 rounded-md border border-line bg-surface p-3">
      <p className="mb-1 flex justify-between gap-2 text-sm">
        <span className="font-medium">{name}</span>
        <span className="text-muted">
          {total === 1 ? "1 token" : `${number(total)} tokens`}, {number(trained)} trained
        </span>
      </p>
      <p className="font-mono text-sm break-words whitespace-pre-wrap">
        {tokens.map((token, index) => (
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
      {total > tokens.length && (
        <p className="mt-1 text-sm text-muted">The first {number(tokens.length)} are shown.</p>
      )}
    </div>
  );
}
