import type { ReactNode } from "react";
import { cx } from "@/lib/cx";

/**
 * A table that becomes a list of cards at phone width. Each `Cell` repeats its column's name, which
 * is shown only there, because the header row is hidden.
 */
export function Table(props: { caption: string; columns: string[]; children: ReactNode }) {
  return (
    <div className="overflow-x-auto">
      <table className="w-full border-collapse max-md:block">
        <caption className="sr-only">{props.caption}</caption>
        <thead className="max-md:sr-only">
          <tr>
            {props.columns.map((name) => (
              <th
                key={name}
                scope="col"
                className="border-b border-line px-3 py-2 text-left text-sm font-medium whitespace-nowrap text-muted first:pl-0 last:pr-0"
              >
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="max-md:block">{props.children}</tbody>
      </table>
    </div>
  );
}

export function Row({ children }: { children: ReactNode }) {
  return (
    <tr className="border-line max-md:block max-md:border-b max-md:py-3 max-md:first:pt-0 max-md:last:border-b-0 md:border-b md:last:border-b-0">
      {children}
    </tr>
  );
}

export function Cell(props: { label: string; className?: string; children: ReactNode }) {
  return (
    <td
      data-label={props.label}
      className={cx(
        "min-w-0 align-top break-words md:px-3 md:py-2 md:first:pl-0 md:last:pr-0",
        "max-md:grid max-md:grid-cols-[6rem_minmax(0,1fr)] max-md:gap-3 max-md:py-1",
        "max-md:before:text-sm max-md:before:text-muted max-md:before:content-[attr(data-label)]",
        props.className,
      )}
    >
      <div className="min-w-0">{props.children}</div>
    </td>
  );
}
