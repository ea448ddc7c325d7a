import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Empty, Loading } from "@/components/page";
import { buttonClass } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { PAIRS_A_PAGE, pairsQuery } from "@/features/files/api";
import { PairView } from "@/features/files/components/pair-view";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";

/** The accepted pairs as a job will read them, a page at a time. */
export function Pairs({ fileId, offset }: { fileId: string; offset: number }) {
  const page = useQuery(pairsQuery(fileId, offset));
  const [isMarked, setMarked] = useState(true);
  const total = page.data?.total ?? 0;
  const pairs = page.data?.pairs ?? [];
  return (
    <Card
      title="Pairs"
      actions={
        <label className="flex items-center gap-2">
          <input
            type="checkbox"
            className="size-4 accent-accent"
            checked={isMarked}
            onChange={(event) => setMarked(event.target.checked)}
          />
          Mark what differs
        </label>
      }
    >
      {page.isPending && <Loading what="Loading the pairs" />}
      {page.error && <ErrorPanel error={page.error} retry={() => page.refetch()} />}
      {page.data && (
        <div aria-busy={page.isPlaceholderData} className="flex flex-col gap-3">
          {isMarked && pairs.some(({ rejected }) => rejected) && (
            <p className="text-sm text-muted">
              <ins className="text-chosen underline">Underlined</ins> stands only in the chosen
              answer, <del className="text-rejected line-through">struck through</del> only in the
              rejected one.
            </p>
          )}
          {pairs.length === 0 && (
            <Empty>
              There are no pairs from here on.{" "}
              <PageLink fileId={fileId} offset={0}>
                Go to the first
              </PageLink>
            </Empty>
          )}
          <ol className="flex flex-col gap-3">
            {pairs.map((pair) => (
              <li key={pair.line}>
                <PairView fileId={fileId} pair={pair} isMarked={isMarked} />
              </li>
            ))}
          </ol>
          {pairs.length > 0 && (
            <nav aria-label="Pages of pairs" className="flex flex-wrap items-center gap-3">
              <p className="mr-auto text-muted">
                {number(offset + 1)} to {number(offset + pairs.length)} of {number(total)}
              </p>
              {offset > 0 && (
                <PageLink fileId={fileId} offset={Math.max(0, offset - PAIRS_A_PAGE)}>
                  Previous
                </PageLink>
              )}
              {offset + pairs.length < total && (
                <PageLink fileId={fileId} offset={offset + pairs.length}>
                  Next
                </PageLink>
              )}
            </nav>
          )}
        </div>
      )}
    </Card>
  );
}

function PageLink(props: { fileId: string; offset: number; children: ReactNode }) {
  return (
    <Link
      to="/files/$fileId"
      params={{ fileId: props.fileId }}
      search={props.offset > 0 ? { offset: String(props.offset) } : {}}
      resetScroll={false}
      className={cx(buttonClass(), "no-underline")}
    >
      {props.children}
    </Link>
  );
}
