import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useMemo } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { inputClass } from "@/components/ui/field";
import { FILTERS, itemsQuery } from "@/features/evaluations/api";
import { askAgain, categoriesOf, namingOf } from "@/features/evaluations/items";
import type { Evaluation, Item } from "@/features/evaluations/objects";
import { ItemDetail } from "@/features/evaluations/one/item-detail";
import { ItemsTable } from "@/features/evaluations/one/items-table";
import { hasEnded, itemsOf } from "@/features/evaluations/words";
import { number } from "@/lib/format";

/** Every prompt with the answers to it, those that got worse first; one is open at a time. */
export function ItemsCard({ evaluation }: { evaluation: Evaluation }) {
  const search = useSearch({ from: "/shell/evaluations/$evaluationId" });
  const navigate = useNavigate({ from: "/evaluations/$evaluationId" });
  const filter = FILTERS.find((name) => name === search.filter);
  const found = useInfiniteQuery(itemsQuery(evaluation.id, filter, search.category));
  const { hasNextPage, isFetching, fetchNextPage } = found;
  const items = useMemo(() => found.data?.pages.flatMap(({ data }) => data) ?? [], [found.data]);
  const opened = items.find(({ id }) => id === search.item) ?? null;
  const change = (change: Partial<typeof search>) =>
    navigate({
      search: (now) => ({ ...now, ...change }),
      replace: true,
      resetScroll: false,
      hashScrollIntoView: false,
    });
  const open = (item: Item | null) => change({ item: item?.id });
  // A link may name an item that stands on a later page.
  const isSought = search.item !== undefined && !opened && hasNextPage;
  useEffect(() => {
    if (isSought && !isFetching) fetchNextPage();
  }, [isSought, isFetching, fetchNextPage]);
  // The answers in a file may be a baseline that the evaluation does not name.
  const hasBaseline =
    evaluation.baseline !== null || items.some((item) => item.baseline_answers.length > 0);
  const naming = namingOf(evaluation);
  const categories = categoriesOf(evaluation);
  return (
    <section id="items" aria-labelledby="items-title" className="flex min-w-0 flex-col gap-4">
      {opened && (
        <ItemDetail
          key={opened.id}
          naming={naming}
          hasBaseline={hasBaseline}
          item={opened}
          again={askAgain(evaluation, opened)}
          close={() => open(null)}
        />
      )}
      <div className="min-w-0 rounded-lg border border-line bg-surface">
        <div className="flex flex-wrap items-center gap-x-4 gap-y-2 border-b border-line p-3">
          <h2 id="items-title" className="font-semibold">
            {itemsOf(evaluation) === "pairs" ? "Pairs" : "Prompts and answers"}
          </h2>
          <p role="status" className="text-sm text-muted">
            {found.data &&
              `${number(items.length)}${hasNextPage ? " or more" : ""} of ${number(evaluation.counts.prompts)}`}
          </p>
          <div className="flex w-full flex-wrap gap-2 sm:ml-auto sm:w-auto sm:flex-nowrap">
            <select
              aria-label="Which items"
              className={`${inputClass} max-w-44`}
              value={filter ?? ""}
              onChange={(event) =>
                change({ filter: event.target.value || undefined, item: undefined })
              }
            >
              <option value="">All items</option>
              {FILTERS.filter((name) => hasBaseline || name === "cut_off").map(
                (name) =>
                  naming.filters[name] && (
                    <option key={name} value={name}>
                      {naming.filters[name]}
                    </option>
                  ),
              )}
            </select>
            {(categories.length > 0 || search.category) && (
              <select
                aria-label="Category"
                className={`${inputClass} max-w-56`}
                value={search.category ?? ""}
                onChange={(event) =>
                  change({ category: event.target.value || undefined, item: undefined })
                }
              >
                <option value="">All categories</option>
                {categories.map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            )}
          </div>
        </div>
        {found.error && <ErrorPanel error={found.error} retry={() => found.refetch()} />}
        {found.isPending && <Loading what="Loading the items" />}
        {found.data && items.length === 0 && (
          <p className="p-4 text-muted">
            {filter || search.category
              ? "No item fits this filter."
              : hasEnded(evaluation)
                ? `There are no ${itemsOf(evaluation)}.`
                : `The ${itemsOf(evaluation)} were not read yet.`}
          </p>
        )}
        {items.length > 0 && (
          <ItemsTable
            items={items}
            movements={hasBaseline ? naming.movements : null}
            opened={opened}
            open={open}
            reachedEnd={() => hasNextPage && !isFetching && fetchNextPage()}
          />
        )}
      </div>
    </section>
  );
}
