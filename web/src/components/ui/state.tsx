import { cx } from "@/lib/cx";

const MARKS: Record<string, { mark: string; className: string }> = {
  succeeded: { mark: "✓", className: "text-chosen" },
  ready: { mark: "✓", className: "text-chosen" },
  processed: { mark: "✓", className: "text-chosen" },
  running: { mark: "●", className: "text-accent" },
  starting: { mark: "●", className: "text-accent" },
  failed: { mark: "✗", className: "text-rejected" },
  error: { mark: "✗", className: "text-rejected" },
  paused: { mark: "‖", className: "text-muted" },
  cancelled: { mark: "–", className: "text-muted" },
  stopped: { mark: "–", className: "text-muted" },
};

/** A state as a word with a mark, so that it never depends on colour. */
export function State({ value }: { value: string }) {
  const { mark, className } = MARKS[value] ?? { mark: "○", className: "text-muted" };
  return (
    <span
      className={cx("inline-flex items-center gap-1.5 whitespace-nowrap font-medium", className)}
    >
      <span aria-hidden="true">{mark}</span>
      {value.replaceAll("_", " ")}
    </span>
  );
}
