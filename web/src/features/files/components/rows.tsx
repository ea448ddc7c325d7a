import { useInfiniteQuery, useQueries } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { X } from "lucide-react";
import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Empty, Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { inputClass } from "@/components/ui/field";
import { PairView } from "@/features/files/components/pair-view";
import { RowList } from "@/features/files/components/row-list";
import {
  type FileRow,
  PART,
  partQuery,
  rowsQuery,
  type ShownRow,
  searchQuery,
} from "@/features/files/rows-api";
import { ROWS_ID } from "@/features/files/rows-id";
import { useUnmasked } from "@/features/files/unmask";
import { useSettled } from "@/features/files/use-settled";
import { findingInWords } from "@/features/files/words";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { useKeys } from "@/lib/use-keys";
import { useStartInView } from "@/lib/use-start-in-view";

const route = getRouteApi("/shell/files/$fileId");
// A scrollbar that is dragged passes thousands of rows: those in between are not read.
const SETTLED_MS = 80;
const TYPED_MS = 300;

/** The accepted rows as a job will read them: all, those of a finding, or those with a text. */
export function Rows({ fileId, accepted }: { fileId: string; accepted: number }) {
  const { finding, q } = route.useSearch();
  const navigate = route.useNavigate();
  const [isMarked, setMarked] = useState(true);
  const field = useRef<HTMLInputElement>(null);
  useKeys({
    "/": { does: "Search the rows", act: () => field.current?.focus() },
    d: { does: "Mark what differs, or stop marking", act: () => setMarked(!isMarked) },
  });
  const change = (change: { finding?: string | undefined; q?: string | undefined }) =>
    navigate({
      search: ({ row: _, ...now }) => ({ ...now, ...change }),
      replace: true,
      resetScroll: false,
    });
  const shared = {
    fileId,
    finding,
    isMarked,
    onFinding: (code: string) => change({ finding: code, q: undefined }),
  };
  return (
    <div id={ROWS_ID} className="scroll-mt-4">
      <Card
        title="Rows"
        actions={
          <label className="flex items-center gap-2">
            <input
              type="checkbox"
              className="size-4 accent-accent"
              aria-keyshortcuts="d"
              checked={isMarked}
              onChange={(event) => setMarked(event.target.checked)}
            />
            Mark what differs
          </label>
        }
      >
        <div className="flex flex-col gap-3">
          <div className="flex flex-wrap items-center gap-3">
            <SearchField
              key={fileId}
              field={field}
              value={q ?? ""}
              onChange={(text) => change({ q: text || undefined })}
            />
            {finding && (
              <Button small onClick={() => change({ finding: undefined })}>
                {findingInWords(finding)}
                <X aria-hidden="true" size={14} />
                <span className="sr-only">Show all rows</span>
              </Button>
            )}
            <p className="ml-auto hidden text-sm text-muted lg:block">
              <Key>j</Key> next, <Key>k</Key> previous, <Key>/</Key> search, <Key>d</Key> mark
            </p>
          </div>
          {q ? (
            <FoundRows key={`${finding} ${q}`} {...shared} search={q} accepted={accepted} />
          ) : (
            <AllRows key={finding} {...shared} accepted={accepted} />
          )}
        </div>
      </Card>
    </div>
  );
}

const Key = ({ children }: { children: string }) => (
  <kbd className="rounded-sm border border-line px-1 font-mono">{children}</kbd>
);

function SearchField(props: {
  field: React.RefObject<HTMLInputElement | null>;
  value: string;
  onChange: (text: string) => void;
}) {
  const { value, onChange } = props;
  const [text, setText] = useState(value);
  const latest = useRef(onChange);
  latest.current = onChange;
  // A link or a click on a finding changes the search, too.
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => latest.current(text), TYPED_MS);
    return () => clearTimeout(timer);
  }, [text, value]);
  return (
    <input
      ref={props.field}
      type="search"
      aria-label="Search the rows"
      aria-keyshortcuts="/"
      placeholder="Search prompts and answers"
      maxLength={200}
      value={text}
      onChange={(event) => setText(event.target.value)}
      onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
      className={cx(inputClass, "max-w-md grow basis-72")}
    />
  );
}

interface Shared {
  fileId: string;
  finding: string | undefined;
  isMarked: boolean;
  onFinding: (code: string) => void;
  accepted: number;
}

/** The position of the selected row in its list, from the address; the first one by default. */
function useSelected(): [number, (position: number) => void] {
  const navigate = route.useNavigate();
  const selected = Math.max(0, Number.parseInt(route.useSearch().row ?? "", 10) || 0);
  const select = (position: number) =>
    navigate({
      search: (now) => ({ ...now, row: position > 0 ? String(position) : undefined }),
      replace: true,
      resetScroll: false,
    });
  return [selected, select];
}

function AllRows({ fileId, finding, accepted, ...shown }: Shared) {
  const [selected, select] = useSelected();
  const [[first, end], setView] = useState<[number, number]>([0, 1]);
  const onView = useCallback((first: number, end: number) => setView([first, end]), []);
  const parts = partsOf(first, end, selected);
  const isSettled = useSettled(parts.join(), SETTLED_MS);
  const results = useQueries({
    queries: parts.map((part) => ({
      ...partQuery(fileId, finding, part, false),
      enabled: isSettled,
    })),
  });
  const known = new Map(parts.map((part, at) => [part, results[at]?.data]));
  // The number of rows with a finding is known from the first answer.
  const [total, setTotal] = useState<number | null>(finding ? null : accepted);
  const answered = results.find(({ data }) => data)?.data?.total;
  useEffect(() => {
    if (answered !== undefined) setTotal(answered);
  }, [answered]);
  const unmasked = useUnmasked(
    parts.map((part) => ({
      rows: known.get(part)?.rows,
      unmasked: partQuery(fileId, finding, part, true),
    })),
  );
  const failed = results.find(({ error }) => error) ?? unmasked.failed;
  const rowAt = (position: number) => {
    const row = known.get(Math.floor(position / PART))?.rows[position % PART];
    return row && unmasked.show(row);
  };
  if (total === null && !failed) return <Loading what="Loading the rows" />;
  return (
    <>
      {failed && <ErrorPanel error={failed.error} retry={() => failed.refetch()} />}
      {total === 0 && <Empty>No row has this finding.</Empty>}
      {total !== null && total > 0 && (
        <Browser
          {...shown}
          fileId={fileId}
          count={total}
          rowAt={rowAt}
          selected={Math.min(selected, total - 1)}
          select={select}
          onView={onView}
        >
          {number(total)} {total === 1 ? "row" : "rows"}
        </Browser>
      )}
    </>
  );
}

/** The parts that hold the rows in view, and the one of the selected row. */
export function partsOf(first: number, end: number, selected: number): number[] {
  const from = Math.floor(first / PART);
  const to = Math.floor(Math.max(first, end - 1) / PART);
  const parts = Array.from({ length: to - from + 1 }, (_, at) => from + at);
  const own = Math.floor(selected / PART);
  return parts.includes(own) ? parts : [...parts, own];
}

/** The pages of a search that hold the rows in view, `[first, end]`, and the selected one. */
export function pagesOf<Page extends { data: readonly unknown[] }>(
  pages: readonly Page[],
  [first, end, selected]: readonly [number, number, number],
): Page[] {
  let begin = 0;
  return pages.filter(({ data }) => {
    const [from, to] = [begin, begin + data.length];
    begin = to;
    return (from < end && to > first) || (from <= selected && selected < to);
  });
}

function FoundRows(props: Shared & { search: string }) {
  const { fileId, finding, search, accepted, ...shown } = props;
  const [selected, select] = useSelected();
  const [inView, setInView] = useState<[number, number]>([0, 1]);
  const found = useInfiniteQuery(searchQuery(fileId, { finding, search }));
  const pages = found.data?.pages ?? [];
  const rows: FileRow[] = pages.flatMap(({ data }) => data);
  const at = Math.min(selected, rows.length - 1);
  const unmasked = useUnmasked(
    pagesOf(pages, [...inView, at]).map(({ offset, data }) => ({
      rows: data,
      unmasked: rowsQuery(fileId, { finding, search }, { offset, count: data.length }, true),
    })),
  );
  const last = pages.at(-1);
  const searched = last?.next_offset ?? last?.total ?? 0;
  const { hasNextPage, isFetching, fetchNextPage } = found;
  // Go on by itself while there is something to show; a search that stopped waits for a click.
  const canGoOn = hasNextPage && !isFetching && !last?.stopped_early && !found.error;
  const onView = useCallback(
    (first: number, end: number) => {
      setInView([first, end]);
      if (canGoOn && end >= rows.length) void fetchNextPage();
    },
    [canGoOn, rows.length, fetchNextPage],
  );
  if (found.isPending) return <Loading what="Searching" />;
  return (
    <>
      {found.error && <ErrorPanel error={found.error} retry={() => found.refetch()} />}
      {unmasked.failed && (
        <ErrorPanel error={unmasked.failed.error} retry={() => unmasked.failed?.refetch()} />
      )}
      {rows.length === 0 && !hasNextPage && <Empty>No row holds this text.</Empty>}
      {hasNextPage && last?.stopped_early && (
        <div className="flex flex-wrap items-center gap-3">
          <p role="status">
            {number(searched)} of {number(last.total)} rows were searched so far.
          </p>
          <Button small disabled={isFetching} onClick={() => fetchNextPage()}>
            {isFetching ? "Searching …" : "Search on"}
          </Button>
        </div>
      )}
      {rows.length > 0 && (
        <Browser
          {...shown}
          fileId={fileId}
          count={rows.length}
          rowAt={(position) => {
            const row = rows[position];
            return row && unmasked.show(row);
          }}
          selected={at}
          select={select}
          onView={onView}
        >
          {number(rows.length)}
          {hasNextPage && " or more"} of {number(last?.total ?? accepted)} rows hold this text
        </Browser>
      )}
    </>
  );
}

/** The list of rows, and the selected one beside it. */
function Browser(props: {
  fileId: string;
  count: number;
  rowAt: (position: number) => ShownRow | undefined;
  selected: number;
  select: (position: number) => void;
  onView: (first: number, end: number) => void;
  isMarked: boolean;
  onFinding: (code: string) => void;
  children: ReactNode;
}) {
  const { fileId, count, rowAt, selected, select, onView, isMarked, onFinding } = props;
  const move = (by: number) => {
    const next = Math.max(0, Math.min(count - 1, selected + by));
    if (next !== selected) select(next);
  };
  useKeys({
    j: { does: "Next row", act: () => move(1) },
    k: { does: "Previous row", act: () => move(-1) },
  });
  const row = rowAt(selected);
  const shown = useStartInView<HTMLDivElement>(selected, false);
  return (
    <>
      <p role="status" className="text-sm text-muted">
        {props.children}
      </p>
      <div className="grid gap-3 lg:grid-cols-[minmax(0,2fr)_minmax(0,3fr)]">
        <RowList
          count={count}
          rowAt={rowAt}
          selected={selected}
          onSelect={select}
          onView={onView}
        />
        <div ref={shown} className="flex min-w-0 scroll-mt-4 flex-col gap-2">
          {row ? (
            <PairView
              key={row.place}
              fileId={fileId}
              pair={row}
              isMarked={isMarked}
              onFinding={onFinding}
            />
          ) : (
            <Loading what="Loading the row" />
          )}
        </div>
      </div>
    </>
  );
}
