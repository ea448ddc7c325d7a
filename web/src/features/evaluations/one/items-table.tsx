import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";
import { changeText, movementOf, type Naming, questionOf } from "@/features/evaluations/items";
import type { Item } from "@/features/evaluations/objects";
import { Spacer } from "@/features/jobs/components/spacer";
import { cx } from "@/lib/cx";
import { useKeys } from "@/lib/use-keys";
import { visible } from "@/lib/visible-text";

const ROW = 40;
// Rows before the end at which the next page is read.
const AHEAD = 20;

type Props = {
  items: Item[];
  /** Null where nothing was compared. */
  movements: Naming["movements"] | null;
  opened: Item | null;
  open: (item: Item) => void;
  reachedEnd: () => void;
};

/** The items as rows; only those in sight are drawn. j and k move. */
export function ItemsTable({ items, movements, opened, open, reachedEnd }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: items.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 12,
  });
  const rows = virtual.getVirtualItems();
  const last = rows.at(-1)?.index ?? 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: asks once for each end that is reached.
  useEffect(() => {
    if (last >= items.length - AHEAD) reachedEnd();
  }, [last, items.length]);
  const move = (by: number) => {
    const now = items.findIndex(({ id }) => id === opened?.id);
    const next = Math.max(0, Math.min(items.length - 1, now + by));
    const item = items[next];
    if (!item) return;
    virtual.scrollToIndex(next);
    open(item);
  };
  useKeys({
    j: { does: "Open the next item", act: () => move(1) },
    k: { does: "Open the previous item", act: () => move(-1) },
  });
  const above = rows[0]?.start ?? 0;
  const below = virtual.getTotalSize() - (rows.at(-1)?.end ?? 0);
  const hasCategory = items.some(({ category }) => category !== null);
  return (
    <div ref={box} className="relative max-h-[32rem] overflow-y-auto">
      <table
        aria-label="Items"
        aria-rowcount={items.length + 1}
        className="w-full table-fixed border-separate border-spacing-0"
      >
        <thead className="sticky top-0 z-[1] bg-surface">
          <tr className="text-sm text-muted">
            <th scope="col" className={cx(head, "text-left")}>
              Prompt
            </th>
            {hasCategory && (
              <th scope="col" className={cx(head, "hidden w-56 text-left lg:table-cell")}>
                Category
              </th>
            )}
            <th scope="col" className={cx(head, "hidden w-24 text-left sm:table-cell")}>
              Length
            </th>
            {movements && (
              <th scope="col" className={cx(head, "w-24 text-right")}>
                Change
              </th>
            )}
          </tr>
        </thead>
        <Spacer height={above} />
        <tbody>
          {rows.map(({ index }) => {
            const item = items[index] as Item;
            return (
              <tr
                key={item.id}
                aria-rowindex={index + 2}
                className={cx(item.id === opened?.id && "bg-bg")}
                style={{ height: ROW }}
              >
                <td className={cell}>
                  <button
                    type="button"
                    aria-pressed={item.id === opened?.id}
                    onClick={() => open(item)}
                    className="block w-full truncate text-left hover:text-accent"
                  >
                    {visible(questionOf(item).slice(0, 300))}
                  </button>
                </td>
                {hasCategory && (
                  <td className={cx(cell, "hidden truncate text-muted lg:table-cell")}>
                    {item.category}
                  </td>
                )}
                <td className={cx(cell, "hidden sm:table-cell")}>
                  {item.cut_off && <span className="text-sm text-rejected">cut off</span>}
                </td>
                {movements && <Change item={item} movements={movements} />}
              </tr>
            );
          })}
        </tbody>
        <Spacer height={below} />
      </table>
    </div>
  );
}

const head = "border-b border-line px-2 py-2 font-medium sm:px-3";
const cell = "border-b border-line px-2 sm:px-3";

function Change({ item, movements }: { item: Item; movements: Naming["movements"] }) {
  const { mark, word, className } = movements[movementOf(item)];
  return (
    <td className={cx(cell, "text-right whitespace-nowrap")} title={word}>
      <span className={className}>
        <span aria-hidden="true">{mark}</span>
        <span className="sr-only">{word}</span>
      </span>{" "}
      {changeText(item.change)}
    </td>
  );
}
