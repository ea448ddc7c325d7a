import { diffWordsWithSpace } from "diff";
import { useMemo } from "react";
import { areAlike } from "@/lib/alike";

// For two texts with almost nothing in common, a diff takes quadratic time.
const MAX_EDITS = 800;
const MAX_CHARS = 100_000;

/** Whether the differing words of two texts are marked: the texts are alike, and not too long. */
export const isMarkable = (from: string, to: string): boolean => lastDiff(from, to) !== undefined;

/** The sentence for texts that are drawn without marks. */
export const NOT_MARKED =
  "These two answers have too little in common, or are too long, to mark what differs.";

/**
 * A text with the differing words marked: words added by `to` are underlined, words missing in `to`
 * are struck through. `show` selects the text to draw. Texts that are not alike stay unmarked.
 */
export function WordDiff(props: { from: string; to: string; show?: "from" | "to" | "both" }) {
  const { from, to, show = "both" } = props;
  const changes = useMemo(() => lastDiff(from, to), [from, to]);
  if (!changes) return show === "from" ? from : to;
  return changes.map(({ value, added, removed }, index) => {
    // Two equal words differ only in their place in the list.
    const key = `${index}`;
    if (added)
      return show === "from" ? null : (
        <ins key={key} className="text-chosen underline">
          {value}
        </ins>
      );
    if (removed)
      return show === "to" ? null : (
        <del key={key} className="text-rejected line-through">
          {value}
        </del>
      );
    return <span key={key}>{value}</span>;
  });
}

type Changes = ReturnType<typeof wordDiff>;
let last: { from: string; to: string; changes: Changes } | undefined;

/** Two panes side by side need the same diff one after the other; the second one is cached. */
function lastDiff(from: string, to: string): Changes {
  if (last?.from !== from || last.to !== to) last = { from, to, changes: wordDiff(from, to) };
  return last.changes;
}

function wordDiff(from: string, to: string) {
  if (from.length + to.length > MAX_CHARS) return undefined;
  const changes = diffWordsWithSpace(from, to, { maxEditLength: MAX_EDITS });
  return changes && areAlike(changes) ? changes : undefined;
}
