/** The words of two answers that only one of them has. */
import { diffWordsWithSpace } from "diff";
import { areAlike } from "@/lib/alike";

export type Piece = { text: string; isOnlyHere: boolean };

const LONGEST = 60_000;
// A diff of two answers with almost nothing in common would take minutes.
const LIMIT = { maxEditLength: 4_000, timeout: 300 };

/** Both answers in pieces, or null if they are too long or have too little in common for a diff. */
export function unshared(a: string, b: string): [Piece[], Piece[]] | null {
  if (a.length + b.length > LONGEST) return null;
  const changes = diffWordsWithSpace(a, b, LIMIT);
  if (!changes || !areAlike(changes)) return null;
  const of = (isOther: "added" | "removed", isOnly: "added" | "removed") =>
    changes
      .filter((change) => !change[isOther])
      .map((change) => ({ text: change.value, isOnlyHere: Boolean(change[isOnly]) }));
  return [of("added", "removed"), of("removed", "added")];
}
