import { lazy, Suspense } from "react";
import { PlainText } from "@/components/plain-text";

// The parser is most of the playground's weight, and nothing needs it before the first answer.
const Formatted = lazy(async () => ({
  default: (await import("@/components/formatted-markdown")).FormattedMarkdown,
}));

/** What a model wrote, as markdown that can load nothing, run nothing and hide nothing. */
export function Markdown({ text }: { text: string }) {
  return (
    <Suspense fallback={<PlainText text={text} />}>
      <Formatted text={text} />
    </Suspense>
  );
}
