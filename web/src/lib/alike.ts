/** Whether two texts have enough in common for a word diff to be read. */

type Change = { value: string; added?: boolean; removed?: boolean };

/** Of texts that share less, a diff marks more than it leaves unmarked. */
const LEAST_SHARED = 0.5;

/** Whether at least half of the letters of both texts stand in both, by a diff of their words. */
export function areAlike(changes: readonly Change[]): boolean {
  const letters = (isCounted: (change: Change) => boolean) =>
    changes.filter(isCounted).reduce((sum, { value }) => sum + value.replace(/\s+/g, "").length, 0);
  const shared = letters(({ added, removed }) => !added && !removed);
  const own = letters(({ added, removed }) => Boolean(added || removed));
  // What is shared stands in both texts, so it counts twice.
  return 2 * shared >= LEAST_SHARED * (2 * shared + own);
}
