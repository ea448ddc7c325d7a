import type { ReactNode } from "react";

/** The mark of a judgment, beside its words. */
export function Tone({ tone }: { tone: "good" | "bad" | null }) {
  if (tone === null) return null;
  return (
    <span
      aria-hidden="true"
      className={tone === "good" ? "mr-1.5 text-chosen" : "mr-1.5 text-rejected"}
    >
      {tone === "good" ? "✓" : "✗"}
    </span>
  );
}

/** A question about a run, its answer in a few words, and the sentences behind it. */
export function Answered(props: {
  question: string;
  answer: string;
  tone: "good" | "bad" | null;
  children: ReactNode;
}) {
  return (
    <div className="min-w-0">
      <h2 className="text-sm text-muted">{props.question}</h2>
      <p className="mt-0.5 font-semibold">
        <Tone tone={props.tone} />
        {props.answer}
      </p>
      <p className="mt-1 text-sm text-muted">{props.children}</p>
    </div>
  );
}
