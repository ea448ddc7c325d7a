import { useLayoutEffect, useRef } from "react";

/**
 * Scrolls to the start of what is shown whenever another item is shown in its place: without it,
 * the page stays where the end of the item before was read. An item whose start is in view does not
 * move. The element's `scroll-margin-top` is the height of what lies over the page there.
 *
 * Returns the ref of the element. `atFirst`: the first item is scrolled to as well.
 */
export function useStartInView<Box extends HTMLElement>(item: unknown, atFirst: boolean) {
  const box = useRef<Box>(null);
  const shown = useRef(atFirst ? undefined : item);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || shown.current === item) return;
    shown.current = item;
    const margin = Number.parseFloat(getComputedStyle(element).scrollMarginTop) || 0;
    const { top } = element.getBoundingClientRect();
    // A start in the lowest third leaves too little to read.
    if (top < margin || top > (2 / 3) * window.innerHeight)
      element.scrollIntoView({ block: "start" });
  }, [item]);
  return box;
}
