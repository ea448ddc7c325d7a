/**
 * Which rows of a long list are in view, and where they are drawn. Rows have one height.
 *
 * Browsers limit the height of an element (Firefox to 17.8 million pixels). A longer list is drawn
 * in fewer pixels: scrolling by one pixel then passes several, and rows still have their height.
 */
export const ROW_PX = 44;
export const MOST_PX = 15_000_000;
const OVERSCAN = 6;

export interface RowWindow {
  /** The height that the list has in the browser, in pixels. */
  height: number;
  /** The rows to draw: from `first` up to, but not including, `end`. */
  first: number;
  end: number;
  /** Where the row `first` begins in that height. */
  top: number;
}

/** Pixels of the list that one pixel of scrolling passes. */
function scale(count: number, view: number): number {
  const full = count * ROW_PX;
  return full <= MOST_PX ? 1 : (full - view) / (MOST_PX - view);
}

export function rowWindow(count: number, scrollTop: number, view: number): RowWindow {
  const at = Math.max(0, scrollTop) * scale(count, view);
  const first = Math.max(0, Math.min(count, Math.floor(at / ROW_PX)) - OVERSCAN);
  const end = Math.min(count, Math.ceil((at + view) / ROW_PX) + OVERSCAN);
  const height = Math.min(count * ROW_PX, MOST_PX);
  return { height, first, end, top: scrollTop + first * ROW_PX - at };
}

/** Where to scroll so that a row is in view: as little as possible. */
export function scrollTo(index: number, count: number, scrollTop: number, view: number): number {
  const ratio = scale(count, view);
  const at = scrollTop * ratio;
  const [start, end] = [index * ROW_PX, (index + 1) * ROW_PX];
  if (start < at) return start / ratio;
  if (end > at + view) return (end - view) / ratio;
  return scrollTop;
}
