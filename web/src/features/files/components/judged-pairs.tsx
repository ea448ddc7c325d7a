import { useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { PairView } from "@/features/files/components/pair-view";
import { LIKELY_SWAPPED, opinionInWords } from "@/features/files/deep-audit";
import { type JudgedPair, judgedQuery, linesOf } from "@/features/files/deep-audit-api";
import {
  lineSteps,
  offerLines,
  useOfferedSteps,
  withdrawLines,
} from "@/features/files/recipe-draft";
import { rowAtQuery } from "@/features/files/rows-api";
import { ROWS_ID } from "@/features/files/rows-id";
import { useUnmasked } from "@/features/files/unmask";
import { number, signed } from "@/lib/format";

const route = getRouteApi("/shell/files/$fileId");

/** The judged pairs, the most suspicious first. Ticked ones can be swapped or dropped by a recipe. */
export function JudgedPairs(props: {
  fileId: string;
  auditId: string;
  likelySwapped: number;
  actions: ReactNode;
}) {
  const { fileId, auditId, likelySwapped } = props;
  const found = useInfiniteQuery(judgedQuery(fileId, auditId));
  const [ticked, setTicked] = useState<ReadonlySet<number>>(new Set());
  const pairs = found.data?.pages.flatMap(({ data }) => data) ?? [];
  const total = found.data?.pages[0]?.total ?? 0;
  const tick = (line: number, isTicked: boolean) => {
    const lines = new Set(ticked);
    if (isTicked) lines.add(line);
    else lines.delete(line);
    setTicked(lines);
  };
  if (found.isPending) return <Loading what="Loading the judged pairs" />;
  return (
    <div className="flex flex-col gap-3">
      <div className="flex flex-wrap items-center justify-between gap-2">
        <h3 className="font-medium">Pairs, the most suspicious first</h3>
        {props.actions}
      </div>
      <p className="max-w-prose text-sm text-muted">
        The score is the probability that the choice is wrong. “base” has the log odds of the base
        model: they are positive if it prefers the chosen answer by itself.
      </p>
      <Repair {...{ fileId, auditId, likelySwapped, ticked, setTicked }} />
      {found.error && <ErrorPanel error={found.error} retry={() => found.refetch()} />}
      <ol aria-label="Judged pairs" className="divide-y divide-line border-y border-line">
        {pairs.map((pair) => (
          <Judged
            key={pair.rank}
            fileId={fileId}
            pair={pair}
            isTicked={ticked.has(pair.line)}
            onTick={(isTicked) => tick(pair.line, isTicked)}
          />
        ))}
      </ol>
      <div className="flex flex-wrap items-center gap-3">
        <p className="text-sm text-muted">
          {number(pairs.length)} of {number(total)} pairs are shown.
        </p>
        {found.hasNextPage && (
          <Button small disabled={found.isFetching} onClick={() => found.fetchNextPage()}>
            {found.isFetching ? "Loading …" : "Show more"}
          </Button>
        )}
      </div>
    </div>
  );
}

/** Ticks all pairs that are likely swapped, and puts the ticked ones into the recipe. */
function Repair(props: {
  fileId: string;
  auditId: string;
  likelySwapped: number;
  ticked: ReadonlySet<number>;
  setTicked: (lines: ReadonlySet<number>) => void;
}) {
  const { fileId, auditId, likelySwapped, ticked, setTicked } = props;
  const tickAll = useMutation({
    mutationFn: () => linesOf(fileId, auditId, LIKELY_SWAPPED),
    onSuccess: (lines) => setTicked(new Set([...ticked, ...lines])),
  });
  const inRecipe = lineSteps(useOfferedSteps(fileId)).size;
  const put = (kind: "swap" | "drop_rows") => {
    offerLines(fileId, kind, [...ticked]);
    setTicked(new Set());
  };
  const pairs = ticked.size === 1 ? "1 pair" : `${number(ticked.size)} pairs`;
  return (
    <>
      <div className="flex flex-wrap items-center gap-2">
        {likelySwapped > 0 && (
          <Button small disabled={tickAll.isPending} onClick={() => tickAll.mutate()}>
            Tick all likely swapped ({number(likelySwapped)})
          </Button>
        )}
        <Button small disabled={ticked.size === 0} onClick={() => setTicked(new Set())}>
          Untick all
        </Button>
        <Button small disabled={ticked.size === 0} onClick={() => put("swap")}>
          Swap {pairs}
        </Button>
        <Button small disabled={ticked.size === 0} onClick={() => put("drop_rows")}>
          Drop {pairs}
        </Button>
      </div>
      <p role="status" className="text-sm text-muted">
        {inRecipe === 0
          ? "Tick pairs to put them into the recipe below. Nothing changes before you make a version."
          : `${inRecipe === 1 ? "1 line is" : `${number(inRecipe)} lines are`} in the recipe below.`}
      </p>
      {tickAll.error && <ErrorPanel error={tickAll.error} />}
    </>
  );
}

const DONE = { swap: "will be swapped", drop_rows: "will be dropped" };

function Judged(props: {
  fileId: string;
  pair: JudgedPair;
  isTicked: boolean;
  onTick: (isTicked: boolean) => void;
}) {
  const { fileId, pair, isTicked, onTick } = props;
  const [isOpen, setOpen] = useState(false);
  const step = lineSteps(useOfferedSteps(fileId)).get(pair.line);
  return (
    <li className="flex flex-col gap-3 py-2">
      <div className="flex items-start gap-3">
        <input
          type="checkbox"
          aria-label={`Tick line ${pair.line}`}
          className="mt-1.5 size-4 shrink-0 accent-accent"
          checked={isTicked}
          onChange={(event) => onTick(event.target.checked)}
        />
        <p className="grid min-w-0 flex-1 grid-cols-2 pt-1 gap-x-4 gap-y-0.5 sm:grid-cols-[5rem_6rem_8rem_minmax(0,1fr)]">
          <span>line {number(pair.line)}</span>
          <span>score {pair.score.toFixed(2)}</span>
          <span className={pair.opinion === LIKELY_SWAPPED ? "font-medium" : "text-muted"}>
            {opinionInWords(pair.opinion)}
          </span>
          <span className="text-muted">base {signed(pair.base_log_odds)}</span>
          {step && (
            <span className="col-span-full text-sm">
              {DONE[step]}{" "}
              <Button small look="quiet" onClick={() => withdrawLines(fileId, [pair.line])}>
                Take back<span className="sr-only"> line {pair.line}</span>
              </Button>
            </span>
          )}
        </p>
        <Button small className="shrink-0" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          {isOpen ? "Hide" : "Show"}
          <span className="sr-only">the pair of line {pair.line}</span>
        </Button>
      </div>
      {isOpen && <Pair fileId={fileId} place={pair.place} />}
    </li>
  );
}

function Pair({ fileId, place }: { fileId: string; place: number }) {
  const answer = useQuery(rowAtQuery(fileId, place, false));
  const { show, failed } = useUnmasked([
    { rows: answer.data?.rows, unmasked: rowAtQuery(fileId, place, true) },
  ]);
  const navigate = route.useNavigate();
  const showFinding = async (finding: string) => {
    await navigate({
      search: ({ row: _, q: __, ...rest }) => ({ ...rest, finding }),
      resetScroll: false,
    });
    document.getElementById(ROWS_ID)?.scrollIntoView({ block: "start" });
  };
  if (answer.error) return <ErrorPanel error={answer.error} retry={() => answer.refetch()} />;
  if (answer.isPending) return <Loading what="Loading the pair" />;
  const [row] = answer.data.rows;
  if (!row) return <p>The file has no such row.</p>;
  return (
    <>
      {failed && <ErrorPanel error={failed.error} retry={() => failed.refetch()} />}
      <PairView fileId={fileId} pair={show(row)} isMarked onFinding={showFinding} />
    </>
  );
}
