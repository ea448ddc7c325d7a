import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useMemo, useRef } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Empty, Loading, Page } from "@/components/page";
import { buttonClass } from "@/components/ui/button";
import { inputClass } from "@/components/ui/field";
import {
  faultsOf,
  inOrder,
  matches,
  sortOf,
  sortText,
  startsDescending,
} from "@/features/jobs/list/filter";
import { JobsTable } from "@/features/jobs/list/jobs-table";
import { jobsQuery } from "@/features/jobs/list/list";
import { TickedBar } from "@/features/jobs/list/ticked-bar";
import { number } from "@/lib/format";
import { filesQuery } from "@/lib/queries";
import { useKeys } from "@/lib/use-keys";

const MOST = 10;

/** All runs: running ones are updated live, and ticked ones can be compared. */
export function JobsPage() {
  const search = useSearch({ from: "/shell/jobs" });
  const navigate = useNavigate({ from: "/jobs" });
  const { data: jobs, error, refetch } = useQuery(jobsQuery);
  const { data: files } = useQuery(filesQuery(1000));
  const names = useMemo(
    () => new Map(files?.data.map((file) => [file.id, file.filename])),
    [files],
  );
  const selected = useMemo(() => search.select?.split(",") ?? [], [search.select]);
  const sort = useMemo(() => sortOf(search.sort), [search.sort]);
  const { q = "" } = search;
  const shown = useMemo(() => {
    const fitting = (jobs ?? []).filter((job) => matches(job, q, names.get(job.training_file)));
    return inOrder(fitting, sort);
  }, [jobs, q, names, sort]);

  const archived = jobs?.filter((job) => job.archived).length ?? 0;
  const faults = useMemo(() => faultsOf(q, jobs ?? [], names), [q, jobs, names]);
  const change = (change: Partial<typeof search>) =>
    navigate({ search: (now) => ({ ...now, ...change }), replace: true, resetScroll: false });
  const toggle = (id: string) => {
    const isIn = selected.includes(id);
    const next = isIn ? selected.filter((each) => each !== id) : [...selected, id].slice(0, MOST);
    change({ select: next.join(",") || undefined });
  };
  const compare = () => navigate({ to: "/jobs/compare", search: { ids: selected.join(",") } });
  const filter = useRef<HTMLInputElement>(null);
  useKeys({
    "/": { does: "Filter the runs", act: () => filter.current?.focus() },
    ...(selected.length > 1 && { c: { does: "Compare the ticked runs", act: compare } }),
  });

  return (
    <Page
      title="Runs"
      actions={
        <Needs scope="write" lacking="hidden">
          <Link to="/jobs/new" className={buttonClass("primary")}>
            <Plus aria-hidden="true" size={16} /> New run
          </Link>
        </Needs>
      }
    >
      {error && <ErrorPanel error={error} retry={refetch} />}
      {!jobs && !error && <Loading what="Loading the runs" />}
      {jobs?.length === 0 && <Start />}
      {jobs && jobs.length > 0 && (
        <>
          <div className="flex flex-wrap items-center gap-3">
            <input
              ref={filter}
              type="search"
              aria-label="Filter the runs"
              aria-invalid={faults.length > 0 || undefined}
              aria-describedby={faults.length > 0 ? "filter-faults" : undefined}
              aria-keyshortcuts="/"
              placeholder="Filter, such as accuracy>=0.7 tag:abl"
              title="Words, or comparisons such as accuracy>=0.7, verdict:helped, lambda>=0.2, status:running, tag:abl or archived:yes"
              value={q}
              onChange={(event) => change({ q: event.target.value || undefined })}
              onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
              className={`${inputClass} max-w-md grow basis-72`}
            />
            <p className="text-sm text-muted" role="status">
              {q ? `${shown.length} of ${jobs.length}` : shown.length}{" "}
              {(q ? jobs : shown).length === 1 ? "run" : "runs"}
              {!q && archived > 0 && (
                <>
                  {", and "}
                  <button
                    type="button"
                    className="underline hover:text-ink"
                    onClick={() => change({ q: "archived:yes" })}
                  >
                    {number(archived)} archived
                  </button>
                </>
              )}
              {jobs.length > 1 && selected.length === 0 && "; tick two or more to compare"}
            </p>
          </div>
          {faults.length > 0 && (
            <div id="filter-faults" role="alert" className="text-sm text-rejected">
              {faults.map((fault) => (
                <p key={fault}>{fault}</p>
              ))}
            </div>
          )}
          {shown.length === 0 ? (
            faults.length === 0 && <Empty>No run fits this filter.</Empty>
          ) : (
            <JobsTable
              jobs={shown}
              names={names}
              selected={selected}
              isFull={selected.length >= MOST}
              toggle={toggle}
              sort={sort}
              onSort={(by) =>
                change({
                  sort: sortText({
                    by,
                    descending: sort.by === by ? !sort.descending : startsDescending(by),
                  }),
                })
              }
            />
          )}
          {selected.length > 0 && (
            <TickedBar
              jobs={jobs.filter((job) => selected.includes(job.id))}
              isFull={selected.length === MOST}
              clear={() => change({ select: undefined })}
              compare={compare}
            />
          )}
        </>
      )}
    </Page>
  );
}

function Start() {
  return (
    <Empty>
      <p className="mb-1 font-semibold text-ink">No runs yet</p>
      <p className="mx-auto mb-4 max-w-md">
        A run tunes a base model on your preference pairs. Upload a file of pairs, look at what was
        found in it, then start.
      </p>
      <Needs scope="write" lacking="hidden">
        <div className="flex flex-wrap justify-center gap-2">
          <Link to="/files" className={buttonClass("primary")}>
            Upload a file
          </Link>
          <Link to="/jobs/new" className={buttonClass()}>
            New run
          </Link>
        </div>
      </Needs>
    </Empty>
  );
}
