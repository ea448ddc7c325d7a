import { useNavigate } from "@tanstack/react-router";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";
import type { Job } from "@/features/jobs/api";
import { SortHead } from "@/features/jobs/components/sort-head";
import { Spacer } from "@/features/jobs/components/spacer";
import type { Sort } from "@/features/jobs/list/filter";
import { JobRow, ROW } from "@/features/jobs/list/job-row";
import { useKeys } from "@/lib/use-keys";

type Props = {
  jobs: Job[];
  names: ReadonlyMap<string, string>;
  selected: string[];
  isFull: boolean;
  toggle: (id: string) => void;
  sort: Sort;
  onSort: (by: Sort["by"]) => void;
};

/** The runs as rows; only those in sight are drawn. j and k move, x ticks, Enter opens. */
export function JobsTable(props: Props) {
  const { jobs, sort, onSort } = props;
  const table = useRef<HTMLTableElement>(null);
  const [offset, setOffset] = useState(0);
  useEffect(() => {
    const box = table.current?.getBoundingClientRect();
    if (box) setOffset(box.top + window.scrollY);
  }, []);
  const virtual = useWindowVirtualizer({
    count: jobs.length,
    estimateSize: () => ROW,
    overscan: 10,
    scrollMargin: offset,
  });
  const [at, setAt] = useState(-1);
  const navigate = useNavigate();
  const move = (by: number) => {
    const next = Math.max(0, Math.min(jobs.length - 1, at + by));
    setAt(next);
    virtual.scrollToIndex(next);
  };
  const current = jobs[at];
  useKeys({
    j: { does: "Next run", act: () => move(1) },
    k: { does: "Previous run", act: () => move(-1) },
    x: { does: "Tick the run, to compare it", act: () => current && props.toggle(current.id) },
    o: {
      does: "Open the run",
      act: () => current && navigate({ to: "/jobs/$jobId", params: { jobId: current.id } }),
    },
  });

  const items = virtual.getVirtualItems();
  const above = (items[0]?.start ?? offset) - offset;
  const below = virtual.getTotalSize() - ((items.at(-1)?.end ?? offset) - offset);
  const head = (by: Sort["by"], name: string, className?: string) => (
    <SortHead
      name={name}
      way={sort.by === by ? sort.descending : null}
      onSort={() => onSort(by)}
      className={className}
    />
  );
  return (
    <table
      ref={table}
      aria-label="Runs"
      aria-rowcount={jobs.length + 1}
      className="w-full table-fixed border-separate border-spacing-0 rounded-lg border border-line bg-surface"
    >
      <thead>
        <tr className="text-sm">
          <th scope="col" className="w-10 px-2 sm:w-11">
            <span className="sr-only">Tick to compare</span>
          </th>
          {head("name", "Run", "2xl:w-[22%]")}
          {head("status", "State", "w-36 lg:w-44")}
          {head("accuracy", "Held-out accuracy", "hidden w-52 sm:table-cell")}
          <SortHead
            name="Log odds ratio"
            way={sort.by === "margin" ? sort.descending : null}
            onSort={() => onSort("margin")}
            isRight
            className="hidden w-36 lg:table-cell"
          />
          {head("verdict", "Verdict", "hidden w-28 md:table-cell")}
          {head("model", "Model", "hidden 2xl:table-cell")}
          <th scope="col" className="hidden px-3 text-left font-medium text-muted 2xl:table-cell">
            File
          </th>
          {head("created", "Created", "hidden w-28 md:table-cell")}
        </tr>
      </thead>
      <Spacer height={above} />
      <tbody>
        {items.map(({ index }) => {
          const job = jobs[index] as Job;
          return (
            <JobRow
              key={job.id}
              job={job}
              place={index + 2}
              fileName={props.names.get(job.training_file)}
              isCurrent={index === at}
              isTicked={props.selected.includes(job.id)}
              canTick={!props.isFull || props.selected.includes(job.id)}
              toggle={props.toggle}
            />
          );
        })}
      </tbody>
      <Spacer height={below} />
    </table>
  );
}
