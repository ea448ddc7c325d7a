/** A model's text as markdown that can't load, run or hide anything. */
import { Component, memo, type ReactNode, useEffect, useState } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import rehypeSanitize from "rehype-sanitize";
import remarkGfm from "remark-gfm";
import { inert, isPiledUp, SCHEMA, shallow } from "@/components/markdown-inert";
import { PlainText } from "@/components/plain-text";
import { BlockSplitter } from "@/lib/markdown-blocks";

/** Longer texts are shown unformatted: formatting them would block the page. */
export const LONGEST_FORMATTED = 100_000;

const STEP = 4_000;
const STEP_MS = 16;

/** `text` may grow; then only its last block is drawn again. */
export function FormattedMarkdown({ text }: { text: string }) {
  const [splitter] = useState(() => new BlockSplitter());
  const reached = useSteps(text.length);
  if (text.length > LONGEST_FORMATTED)
    return (
      <div className="flex min-w-0 flex-col gap-3">
        <p className="text-sm text-muted">Too long to be formatted, so this is the plain text.</p>
        <PlainText text={text} />
      </div>
    );
  return (
    <div className="flex min-w-0 flex-col gap-3 wrap-anywhere">
      {splitter.split(text.slice(0, reached)).map((source, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks are only ever added at the end.
        <Block key={index} source={source} />
      ))}
    </div>
  );
}

/**
 * How much of a text to draw now: a long text is drawn in steps, so that it doesn't block the page.
 */
function useSteps(length: number): number {
  const [reached, setReached] = useState(STEP);
  const isBehind = reached < length;
  useEffect(() => {
    if (!isBehind) return;
    const timer = setTimeout(() => setReached(reached + STEP), STEP_MS);
    return () => clearTimeout(timer);
  }, [isBehind, reached]);
  return reached;
}

const Block = memo(function Block({ source }: { source: string }) {
  if (isPiledUp(source)) return <PlainText text={source} />;
  return (
    <ElsePlain source={source}>
      <ReactMarkdown
        remarkPlugins={[remarkGfm, shallow]}
        rehypePlugins={[inert, [rehypeSanitize, SCHEMA]]}
        components={COMPONENTS}
      >
        {source}
      </ReactMarkdown>
    </ElsePlain>
  );
});

/** If the parser fails, the text is shown unformatted. */
class ElsePlain extends Component<{ source: string; children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };
  static getDerivedStateFromError() {
    return { failed: true };
  }
  override render() {
    return this.state.failed ? <PlainText text={this.props.source} /> : this.props.children;
  }
}

const heading = "font-semibold text-balance";
const COMPONENTS: Components = {
  a: ({ href, children }) => (
    <a
      href={href}
      target="_blank"
      rel="noopener noreferrer nofollow"
      className="text-accent underline [&>span]:text-muted"
    >
      {children}
    </a>
  ),
  h3: ({ children }) => (
    <h3 dir="auto" className={`${heading} text-base`}>
      {children}
    </h3>
  ),
  h4: ({ children }) => (
    <h4 dir="auto" className={heading}>
      {children}
    </h4>
  ),
  h5: ({ children }) => (
    <h5 dir="auto" className={heading}>
      {children}
    </h5>
  ),
  h6: ({ children }) => (
    <h6 dir="auto" className={heading}>
      {children}
    </h6>
  ),
  p: ({ children }) => (
    <p dir="auto" className="[li>&]:not-first:mt-2">
      {children}
    </p>
  ),
  ul: ({ children }) => <ul className="flex list-disc flex-col gap-1 ps-5">{children}</ul>,
  ol: ({ children, start }) => (
    <ol start={start} className="flex list-decimal flex-col gap-1 ps-6">
      {children}
    </ol>
  ),
  blockquote: ({ children }) => (
    <blockquote dir="auto" className="flex flex-col gap-2 border-s-2 border-line ps-3 text-muted">
      {children}
    </blockquote>
  ),
  hr: () => <hr className="border-line" />,
  code: ({ children }) => (
    <code className="rounded-sm bg-bg px-1 font-mono text-sm [unicode-bidi:isolate] [pre_&]:bg-transparent [pre_&]:px-0">
      {children}
    </code>
  ),
  pre: ({ children }) => (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls sideways must do so by keys too.
    <pre tabIndex={0} className="overflow-x-auto rounded-md border border-line bg-bg p-3 leading-5">
      {children}
    </pre>
  ),
  table: ({ children }) => (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls sideways must do so by keys too.
    <div tabIndex={0} className="overflow-x-auto">
      <table className="border-collapse text-sm wrap-normal [&_td]:border [&_td]:px-2 [&_td]:py-1 [&_th]:border [&_th]:px-2 [&_th]:py-1 [&_th]:text-start">
        {children}
      </table>
    </div>
  ),
};
