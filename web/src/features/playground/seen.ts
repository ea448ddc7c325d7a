/** Which answers of a comparison were in view, as none may be voted for unread. */
import { NAMES, type SideIndex } from "@/features/playground/conversation";

/** The sides that were in view, by the id of the comparison. */
export type Seen = Readonly<Record<string, readonly SideIndex[]>>;

export function withSeen(seen: Seen, comparison: string, sides: readonly SideIndex[]): Seen {
  const known = seen[comparison] ?? [];
  const fresh = sides.filter((side) => !known.includes(side));
  return fresh.length === 0 ? seen : { ...seen, [comparison]: [...known, ...fresh] };
}

/** The names of the sides that were not in view yet. */
export function unseenOf(seen: Seen, comparison: string | null): string[] {
  const known = comparison === null ? [] : (seen[comparison] ?? []);
  return NAMES.filter((_, side) => !known.includes(side as SideIndex));
}
