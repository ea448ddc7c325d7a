import { type KeyboardEvent, useEffect, useLayoutEffect, useRef, useState } from "react";
import { textOf } from "@/features/files/components/pair-view";
import { ROW_PX, rowWindow, scrollTo } from "@/features/files/row-window";
import type { FileRow } from "@/features/files/rows-api";
import { findingInWords } from "@/features/files/words";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { useKeyNotes } from "@/lib/use-keys";
import { visible } from "@/lib/visible-text";

const PREVIEW = 200; // characters of a prompt

interface Props {
  count: number;
  /** The row at a position of the list; undefined while it is loading. */
  rowAt: (position: number) => FileRow | undefined;
  selected: number;
  onSelect: (position: number) => void;
  /** Called with the positions in view. */
  onView: (first: number, end: number) => void;
}

/** A list of which only the rows in view are drawn. */
export function RowList({ count, rowAt, selected, onSelect, onView }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [scrollTop, setScrollTop] = useState(0);
  const [view, setView] = useState(0);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setView(element.clientHeight);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  // The focus follows the selection, if it is in the list.
  useLayoutEffect(() => {
    const element = box.current;
    if (!element?.contains(document.activeElement)) return;
    element
      .querySelector<HTMLElement>(`[data-position="${selected}"]`)
      ?.focus({ preventScroll: true });
  }, [selected]);
  // The selected row stays in view; scrolling does not change what is selected.
  useLayoutEffect(() => {
    const element = box.current;
    if (element && view > 0)
      element.scrollTop = scrollTo(selected, count, element.scrollTop, element.clientHeight);
  }, [selected, view, count]);
  const { height, first, end, top } = rowWindow(count, scrollTop, view);
  useEffect(() => onView(first, end), [first, end, onView]);
  // One row can be reached by Tab, the others by arrow keys: the list may be long.
  const reached = selected >= first && selected < end ? selected : first;
  const move = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const next = selected + by;
    if (next >= 0 && next < count) onSelect(next);
  };
  useKeyNotes({ "↑ ↓": "In the list of rows: move by a row" });
  const positions = Array.from({ length: end - first }, (_, at) => first + at);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: its rows are buttons; this moves between them.
    <div
      ref={box}
      onKeyDown={move}
      onScroll={(event) => setScrollTop(event.currentTarget.scrollTop)}
      className="h-72 overflow-y-auto rounded-lg border border-line bg-bg lg:h-[40rem]"
    >
      <div className="relative" style={{ height }}>
        <ul aria-label="Rows" className="absolute inset-x-0" style={{ top }}>
          {positions.map((position) => (
            <li
              key={position}
              aria-setsize={count}
              aria-posinset={position + 1}
              style={{ height: ROW_PX }}
            >
              <Item
                row={rowAt(position)}
                position={position}
                isSelected={position === selected}
                isReached={position === reached}
                onSelect={() => onSelect(position)}
              />
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

function Item(props: {
  row: FileRow | undefined;
  position: number;
  isSelected: boolean;
  isReached: boolean;
  onSelect: () => void;
}) {
  const { row, position, isSelected, isReached, onSelect } = props;
  return (
    <button
      type="button"
      aria-pressed={isSelected}
      data-position={position}
      tabIndex={isReached ? 0 : -1}
      onClick={onSelect}
      className={cx(
        "flex h-full w-full flex-col justify-center border-b border-line border-l-2 px-3 text-left",
        "focus-visible:-outline-offset-2", // the list cuts off what is outside of it
        isSelected
          ? "border-l-accent bg-surface font-medium"
          : "border-l-transparent hover:bg-surface",
      )}
    >
      {row ? (
        <>
          <span className="block w-full truncate">{preview(row)}</span>
          <span className="block w-full truncate text-xs text-muted">
            line {number(row.line)}
            {row.findings.map((code) => ` · ${findingInWords(code)}`)}
          </span>
        </>
      ) : (
        <span className="text-muted">…</span>
      )}
    </button>
  );
}

function preview({ prompt }: FileRow): string {
  const text = textOf(prompt.slice(-1), "user").slice(0, PREVIEW);
  return visible(text.replace(/\s+/g, " ")) || "(no text)";
}
