import { cx } from "@/lib/cx";

/** A column's head that sorts by it. `way`: null, or whether the order is descending. */
export function SortHead(props: {
  name: string;
  way: boolean | null;
  onSort: () => void;
  /** For numbers: the arrow stands before the name, so that name and numbers are right-aligned. */
  isRight?: boolean;
  className?: string;
}) {
  const { way, isRight } = props;
  return (
    <th
      scope="col"
      aria-sort={way === null ? "none" : way ? "descending" : "ascending"}
      className={cx(
        "px-2 py-2 font-medium sm:px-3",
        isRight ? "text-right" : "text-left",
        props.className,
      )}
    >
      <button
        type="button"
        onClick={props.onSort}
        className={cx(
          "inline-flex gap-1 whitespace-nowrap text-muted hover:text-ink",
          isRight && "flex-row-reverse",
        )}
      >
        {props.name}
        <span aria-hidden="true" className={cx(way === null && "invisible")}>
          {way ? "↓" : "↑"}
        </span>
      </button>
    </th>
  );
}
