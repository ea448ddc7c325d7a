import { diffWordsWithSpace } from "diff";
import { useMemo } from "react";

// Where two texts share next to nothing, looking for what they share costs the square of it.
const MAX_EDITS = 800;
const MAX_CHARS = 100_000;

/**
 * A text with the words that it doesn't share with the other one marked: what `to` adds is
 * underlined, what it lacks is struck through. `show` picks whose text is drawn.
 */
export function WordDiff(props: { from: string; to: string; show?: "from" | "to" | "both" }) {
  const { from, to, show = "both" } = props;
  const changes = useMemo(() => lastDiff(from, to), [from, to]);
  if (!changes) return show === "from" ? from : to;
  return changes.map(({ value, added, removed }, index) => {
    // The place in the list is all that tells two equal words apart.
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

/** Two panes side by side ask for the same texts one after the other; the second is free. */
function lastDiff(from: string, to: string): Changes {
  if (last?.from !== from || last.to !== to) last = { from, to, changes: wordDiff(from, to) };
  return last.changes;
}

function wordDiff(from: string, to: string) {
  if (from.length + to.length > MAX_CHARS) return undefined;
  return diffWordsWithSpace(from, to, { maxEditLength: MAX_EDITS });
}
