import { useQuery } from "@tanstack/react-query";
import { ChevronLeft, ChevronRight } from "lucide-react";
import { ErrorPanel } from "@/components/error-panel";
import { Button } from "@/components/ui/button";
import { inputClass } from "@/components/ui/field";
import {
  change,
  heldOutQuery,
  jobQuery,
  type Pair,
  succeededJobsQuery,
} from "@/features/playground/api/held-out";
import { unpack } from "@/features/playground/conversation";
import { number, signed } from "@/lib/format";
import { nameOf, namesOf } from "@/lib/run-name";

/** Asks a held-out prompt of a job: select the job, then one of its pairs. */
export function HeldOutBar(props: {
  jobId: string | undefined;
  line: number | null;
  onJob: (jobId: string | undefined) => void;
  onLine: (line: number | undefined) => void;
}) {
  const { jobId, line, onLine } = props;
  const jobs = useQuery(succeededJobsQuery);
  const pairs = useQuery({ ...heldOutQuery(jobId ?? ""), enabled: jobId !== undefined });
  const known = jobs.data ?? [];
  const names = namesOf(known);
  const isListed = !jobId || known.some(({ id }) => id === jobId);
  const other = useQuery({ ...jobQuery(jobId ?? ""), enabled: !isListed && !jobs.isPending });
  const at = pairs.data?.findIndex((pair) => pair.line === line) ?? -1;
  const beside = (step: number) => pairs.data?.[at + step]?.line;
  const error = jobs.error ?? pairs.error;
  return (
    <section aria-label="Held-out pairs" className="flex flex-col gap-2">
      <div className="grid gap-2 md:grid-cols-[minmax(0,1fr)_minmax(0,2fr)]">
        <select
          aria-label="From the held-out pairs of"
          className={`${inputClass} truncate pe-8`}
          value={jobId ?? ""}
          onChange={(event) => props.onJob(event.target.value || undefined)}
        >
          <option value="">A question of your own</option>
          <optgroup label="From the held-out pairs of">
            {known.map((job, place) => (
              <option key={job.id} value={job.id}>
                {names[place]} ({job.model})
              </option>
            ))}
            {!isListed && (
              <option value={jobId}>{other.data ? nameOf(other.data) : "a run"}</option>
            )}
          </optgroup>
        </select>
        {jobId && (
          <div className="flex min-w-0 gap-2">
            <select
              aria-label="Held-out pair"
              className={`${inputClass} min-w-0 flex-1 truncate pe-8`}
              value={at < 0 ? "" : String(line)}
              onChange={(event) => onLine(Number(event.target.value) || undefined)}
            >
              <option value="">
                {pairs.isPending
                  ? "Loading …"
                  : `Choose one of ${number(pairs.data?.length)} held-out pairs, the worst first`}
              </option>
              {pairs.data?.map((pair) => (
                <option key={pair.line} value={pair.line}>
                  {titleOf(pair)}
                </option>
              ))}
            </select>
            <Button
              aria-label="The held-out pair before"
              disabled={at <= 0}
              onClick={() => onLine(beside(-1))}
            >
              <ChevronLeft aria-hidden="true" size={16} />
            </Button>
            <Button
              aria-label="The next held-out pair"
              disabled={beside(1) === undefined}
              onClick={() => onLine(beside(1))}
            >
              <ChevronRight aria-hidden="true" size={16} />
            </Button>
          </div>
        )}
      </div>
      {error && <ErrorPanel error={error} retry={() => (jobs.error ? jobs : pairs).refetch()} />}
      {pairs.data?.length === 0 && (
        <p className="text-sm text-muted">This run has no held-out pairs to show.</p>
      )}
      {pairs.data && line !== null && at < 0 && pairs.data.length > 0 && (
        <p role="alert" className="text-sm text-rejected">
          The run held out no pair of line {line}.
        </p>
      )}
    </section>
  );
}

function titleOf(pair: Pair): string {
  const by = change(pair);
  const { draft } = unpack(pair.prompt);
  const asked = draft.replace(/\s+/g, " ").slice(0, 80);
  return `Line ${pair.line}${by === null ? "" : ` (${by < 0 ? "worse" : "better"}, ${signed(by)})`}: ${asked}`;
}
