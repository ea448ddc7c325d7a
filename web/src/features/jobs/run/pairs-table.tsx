import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState } from "react";
import { SortHead } from "@/features/jobs/components/sort-head";
import { Spacer } from "@/features/jobs/components/spacer";
import {
  FATES,
  gotWorse,
  type Judged,
  type PairOrder,
  prefersRejected,
  questionOf,
  sorted,
} from "@/features/jobs/run/pairs";
import { cx } from "@/lib/cx";
import { signed } from "@/lib/format";
import { useKeys } from "@/lib/use-keys";

const ROW = 40;
const COLUMNS: { order: PairOrder; name: string; className?: string }[] = [
  { order: "was", name: "Before", className: "hidden sm:table-cell" },
  { order: "is", name: "After", className: "hidden sm:table-cell" },
  { order: "change", name: "Change" },
];

type Props = { pairs: Judged[]; opened: Judged | null; open: (pair: Judged) => void };

/** The pairs, the most worsened first; only visible rows are drawn. */
export function PairsTable({ pairs, opened, open }: Props) {
  const [{ order, descending }, setSort] = useState<{ order: PairOrder; descending: boolean }>({
    order: "change",
    descending: false,
  });
  const rows = useMemo(() => sorted(pairs, order, descending), [pairs, order, descending]);
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 12,
  });
  const move = (by: number) => {
    const now = rows.findIndex((pair) => pair.line === opened?.line);
    const next = Math.max(0, Math.min(rows.length - 1, now + by));
    const pair = rows[next];
    if (!pair) return;
    virtual.scrollToIndex(next);
    open(pair);
  };
  useKeys({
    j: { does: "Open the next pair", act: () => move(1) },
    k: { does: "Open the previous pair", act: () => move(-1) },
  });
  const items = virtual.getVirtualItems();
  const above = items[0]?.start ?? 0;
  const below = virtual.getTotalSize() - (items.at(-1)?.end ?? 0);
  const sort = (column: PairOrder) =>
    setSort((now) => ({ order: column, descending: now.order === column && !now.descending }));
  return (
    <div ref={box} className="max-h-[32rem] overflow-y-auto">
      <table className="w-full table-fixed" aria-rowcount={rows.length + 1}>
        <thead className="sticky top-0 z-[1] bg-surface">
          <tr className="border-b border-line text-sm">
            <SortHead
              name="Pair"
              way={order === "line" ? descending : null}
              onSort={() => sort("line")}
            />
            {COLUMNS.map((column) => (
              <SortHead
                key={column.order}
                name={column.name}
                way={order === column.order ? descending : null}
                onSort={() => sort(column.order)}
                isRight
                className={cx("w-24", column.className)}
              />
            ))}
          </tr>
        </thead>
        <Spacer height={above} />
        <tbody>
          {items.map(({ index }) => {
            const pair = rows[index] as Judged;
            return (
              <tr
                key={pair.line}
                aria-rowindex={index + 2}
                className={cx(
                  "border-b border-line",
                  pair.line === opened?.line && "bg-bg",
                  prefersRejected(pair) && "bg-rejected/10",
                )}
                style={{ height: ROW }}
              >
                <td className="px-2 sm:px-3">
                  <button
                    type="button"
                    aria-pressed={pair.line === opened?.line}
                    onClick={() => open(pair)}
                    className="block w-full truncate text-left hover:text-accent"
                  >
                    {questionOf(pair)}
                  </button>
                </td>
                <td className="hidden px-2 text-right sm:px-3 sm:table-cell">{signed(pair.was)}</td>
                <td
                  className={cx(
                    "hidden px-2 text-right sm:px-3 sm:table-cell",
                    prefersRejected(pair) && "text-rejected",
                  )}
                >
                  {signed(pair.is)}
                  {prefersRejected(pair) && (
                    <span className="sr-only">, the rejected answer is preferred</span>
                  )}
                </td>
                <td className="px-2 text-right sm:px-3 whitespace-nowrap" title={FATES[pair.fate]}>
                  {gotWorse(pair) && (
                    <span className="mr-1 text-muted">
                      <span aria-hidden="true">▼</span>
                      <span className="sr-only">got worse</span>
                    </span>
                  )}
                  {signed(pair.change)}
                </td>
              </tr>
            );
          })}
        </tbody>
        <Spacer height={below} />
      </table>
      {rows.length === 0 && <p className="p-4 text-muted">No held-out pair got worse.</p>}
    </div>
  );
}
