import type { Estimate } from "@/features/evaluations/objects";
import {
  differenceInterval,
  differenceReading,
  differenceText,
  intervalText,
  READINGS,
  type Reading,
  readingText,
  valueText,
} from "@/features/evaluations/words";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";

type Props = { metric: string; estimate: Estimate | null | undefined };

/** A value with its 95% interval; `hasCount` adds the number of prompts behind it. */
export function EstimateText({ metric, estimate, hasCount }: Props & { hasCount?: boolean }) {
  if (!estimate) return <span className="text-muted">–</span>;
  const interval = intervalText(metric, estimate);
  return (
    <span>
      <span className="font-medium whitespace-nowrap">{valueText(metric, estimate.value)}</span>{" "}
      {interval && <span className="text-sm whitespace-nowrap text-muted">({interval})</span>}
      {hasCount && (
        <span className="text-sm whitespace-nowrap text-muted"> of {number(estimate.n)}</span>
      )}
    </span>
  );
}

/** A paired difference, its interval, and whether it is more than chance. */
export function DifferenceText({ metric, estimate }: Props) {
  if (!estimate) return <span className="text-muted">–</span>;
  const interval = differenceInterval(metric, estimate);
  const reading = differenceReading(metric, estimate);
  return (
    <span className="flex flex-col">
      <span>
        <span className="font-medium whitespace-nowrap">
          {differenceText(metric, estimate.value)}
        </span>{" "}
        {interval && <span className="text-sm whitespace-nowrap text-muted">({interval})</span>}
      </span>
      <ReadingText reading={reading} words={readingText(metric, reading)} />
    </span>
  );
}

const MARKS: Record<Reading, { mark: string; className: string }> = {
  better: { mark: "▲", className: "text-chosen" },
  worse: { mark: "▼", className: "text-rejected" },
  unsure: { mark: "○", className: "text-muted" },
  too_few: { mark: "○", className: "text-muted" },
};

/** What an interval allows to say: a word with a mark, so that it never depends on colour. */
export function ReadingText({ reading, words }: { reading: Reading; words?: string }) {
  const { mark, className } = MARKS[reading];
  return (
    <span className={cx("text-sm", className)}>
      <span aria-hidden="true">{mark}</span> {words ?? READINGS[reading]}
    </span>
  );
}
