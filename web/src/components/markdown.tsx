import { lazy, Suspense } from "react";
import { PlainText } from "@/components/plain-text";

// The parser is the largest part of the playground, and is not needed before the first answer.
const Formatted = lazy(async () => ({
  default: (await import("@/components/formatted-markdown")).FormattedMarkdown,
}));

/** A model's text as markdown that can't load, run or hide anything. */
export function Markdown({ text }: { text: string }) {
  return (
    <Suspense fallback={<PlainText text={text} />}>
      <Formatted text={text} />
    </Suspense>
  );
}
