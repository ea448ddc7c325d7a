import type { Schema } from "@/lib/api";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { visible } from "@/lib/visible-text";

type Difference = Schema<"TokenDifference">;
type Token = Schema<"RenderedToken">;

const HOW: Record<Difference["of"], string> = {
  prompt: "",
  escaped: ", the one with escaped special strings",
  thinking_on: ", with thinking switched on",
  thinking_off: ", with thinking switched off",
};

/** The tokens around the first difference between trainer and engine, side by side. */
export function TokenDifference({ difference }: { difference: Difference }) {
  const { prompt, of, at, start, trainer, engine } = difference;
  const same = at - start;
  return (
    <section aria-label="The first tokens that differ" className="flex flex-col gap-2">
      <p>
        They differ from position {number(at)} of prompt {number(prompt)}
        {HOW[of]}. The tokens from there on are underlined.
      </p>
      <div className="grid gap-2 sm:grid-cols-2">
        <Side name="Trainer" tokens={trainer} same={same} isTrainer />
        <Side name="Engine" tokens={engine} same={same} />
      </div>
    </section>
  );
}

function Side(props: { name: string; tokens: Token[]; same: number; isTrainer?: boolean }) {
  const { name, tokens, same, isTrainer = false } = props;
  const differs = isTrainer
    ? "text-chosen underline decoration-2 underline-offset-4"
    : "text-rejected underline decoration-2 underline-offset-4";
  return (
    <div className="min-w-0 rounded-md border border-line bg-bg p-3">
      <p className="mb-1 text-sm font-medium">{name}</p>
      <p className="font-mono text-sm wrap-anywhere whitespace-pre-wrap">
        {tokens.map((token, index) => (
          <span
            // biome-ignore lint/suspicious/noArrayIndexKey: a token's place is what it is known by.
            key={index}
            title={`${token.id}`}
            className={cx(index % 2 === 1 && "bg-line/60", index >= same && differs)}
          >
            {shown(token)}
          </span>
        ))}
      </p>
      {tokens.length <= same && <p className="text-sm text-muted">It ends before that token.</p>}
    </div>
  );
}

/** The text of a token; its id where the tokenizer gives no text. */
function shown({ id, text }: Token): string {
  return text === "" ? `[${id}]` : visible(text).replaceAll("\n", "⏎\n");
}
