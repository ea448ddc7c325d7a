/** Whether a file's page shows personal data and secrets, which the API masks in rows. */
import { type UseQueryOptions, useQueries } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useState } from "react";
import { type FileRow, isMasked, type RowsAnswer, type ShownRow } from "@/features/files/rows-api";

interface Unmask {
  isOn: boolean;
  toggle: () => void;
}

const Context = createContext<Unmask>({ isOn: false, toggle: () => undefined });

/** Off at first, and stored nowhere. */
export function UnmaskProvider({ children }: { children: ReactNode }) {
  const [isOn, setOn] = useState(false);
  return <Context value={{ isOn, toggle: () => setOn(!isOn) }}>{children}</Context>;
}

export const useUnmask = () => useContext(Context);

/** A row with its personal data, if that was read; otherwise the row as it is. */
export function shownRow(row: FileRow, unmasked: ReadonlyMap<number, FileRow>): ShownRow {
  const found = row.masked ? unmasked.get(row.place) : undefined;
  return found ? { ...found, isUnmasked: true } : row;
}

type RowsQuery = UseQueryOptions<RowsAnswer, Error, RowsAnswer, readonly unknown[]>;

/**
 * Shows personal data in rows that were read masked. Each element of `parts` has masked rows and the
 * query that reads the same rows unmasked; it runs only while the toggle is on and if one of the rows
 * is masked. The masked rows stay in the cache, so that they are shown at once when the toggle is
 * switched off, and while the unmasked ones are loading.
 */
export function useUnmasked(
  parts: readonly { rows: readonly FileRow[] | undefined; unmasked: RowsQuery }[],
) {
  const { isOn } = useUnmask();
  const wanted = isOn ? parts.filter(({ rows }) => rows?.some(isMasked)) : [];
  const results = useQueries({ queries: wanted.map(({ unmasked }) => unmasked) });
  const byPlace = new Map(
    results.flatMap(({ data }) => data?.rows ?? []).map((row) => [row.place, row]),
  );
  return {
    show: (row: FileRow) => shownRow(row, byPlace),
    failed: results.find(({ error }) => error),
  };
}
