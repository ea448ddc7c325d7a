import { Markdown } from "@/components/markdown";
import { PlainText } from "@/components/plain-text";
import { Card } from "@/components/ui/card";
import type { Comparison, Deal } from "@/features/votes/cards/api";
import { NAMES } from "@/features/votes/vote";
import { messageText } from "@/lib/message-text";

type Dealt = NonNullable<Deal["card"]>;
type Side = Comparison["sides"][number];

const WHO: Record<string, string> = { system: "System prompt", user: "Question" };

/** The question, and both answers beside each other without their models. */
export function CardView({ card }: { card: Dealt }) {
  const { sides } = card.comparison;
  return (
    <div className="flex flex-col gap-4">
      <Card>
        <div className="flex max-h-80 flex-col gap-3 overflow-auto" tabIndex={-1}>
          {(sides[0]?.asked.messages ?? []).map((message, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: these never change.
            <div key={at} className="flex min-w-0 flex-col gap-1">
              <h2 className="text-sm font-medium text-muted">
                {WHO[message.role] ?? "Earlier answer"}
              </h2>
              <PlainText text={messageText(message)} />
            </div>
          ))}
        </div>
      </Card>
      <div className="grid gap-4 md:grid-cols-2">
        {sides.map((side, at) => (
          <Answer key={side.side} side={side} at={at} isNamed={card.names_model[at] ?? false} />
        ))}
      </div>
    </div>
  );
}

function Answer({ side, at, isNamed }: { side: Side; at: number; isNamed: boolean }) {
  return (
    <article
      aria-label={`Answer ${NAMES[at]}`}
      className="flex min-w-0 flex-col gap-3 rounded-lg border border-line bg-surface p-4"
    >
      <h2 className="font-semibold">Answer {NAMES[at]}</h2>
      <Markdown text={side.text ?? ""} />
      {side.finish_reason === "length" && (
        <p className="text-sm text-muted">Cut off at max tokens.</p>
      )}
      {isNamed && (
        <p className="text-sm text-rejected">
          This answer has a word of its model’s name, so that the vote may not be blind.
        </p>
      )}
    </article>
  );
}
