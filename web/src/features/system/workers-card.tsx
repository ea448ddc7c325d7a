import { Link } from "@tanstack/react-router";
import { Card } from "@/components/ui/card";
import type { Worker } from "@/features/system/api";
import { devicesOf, hostsOf, PURPOSES } from "@/features/system/words";
import { ago, bytes, moment, number } from "@/lib/format";

/** The workers of all queues by their machines, with what each machine computes on. */
export function WorkersCard({ workers }: { workers: readonly Worker[] }) {
  return (
    <Card title="Workers">
      {workers.length === 0 && (
        <p className="text-muted">
          No worker is alive: nothing is checked, trained or served until one is started.
        </p>
      )}
      <div className="flex flex-col gap-5">
        {hostsOf(workers).map(([host, here]) => (
          <section key={host} aria-label={`Machine ${host}`}>
            <h3 className="font-medium break-words">
              {host}{" "}
              <span className="font-normal text-muted">
                {number(here[0]?.cores, 0)} cores, {bytes(here[0]?.memory_bytes)} memory
              </span>
            </h3>
            <Devices workers={here} />
            <ul className="mt-1 divide-y divide-line">
              {here.map((worker) => (
                <Line key={worker.id} worker={worker} />
              ))}
            </ul>
          </section>
        ))}
      </div>
    </Card>
  );
}

function Devices({ workers }: { workers: readonly Worker[] }) {
  const devices = devicesOf(workers);
  if (devices.length === 0) return null;
  return (
    <ul className="flex flex-wrap gap-x-4 text-sm">
      {devices.map(({ index, name, memory_bytes }) => (
        <li key={index}>
          GPU {index}: {name}, {bytes(memory_bytes)}
        </li>
      ))}
    </ul>
  );
}

function Line({ worker }: { worker: Worker }) {
  return (
    <li className="grid grid-cols-[minmax(0,2fr)_minmax(0,3fr)] gap-x-4 py-1.5 md:grid-cols-[minmax(0,2fr)_minmax(0,3fr)_8rem_8rem]">
      <span className="break-words" title={worker.id}>
        {worker.queues.join(", ")}
      </span>
      <span className="min-w-0 break-words">
        <Work worker={worker} />
      </span>
      <span className="text-sm text-muted">version {worker.release ?? "not known"}</span>
      <span className="text-sm text-muted" title={moment(worker.seen_at)}>
        seen {ago(worker.seen_at)}
      </span>
      {worker.outdated && (
        <span className="col-span-full text-sm text-rejected">
          Of an older release than the API: it leaves newer jobs to others. Upgrade it.
        </span>
      )}
    </li>
  );
}

const linkClass = "text-accent underline";

/** Estimates and deep audits have no page of their own. Only work on jobs is known. */
function Work({ worker: { job, job_name, purpose } }: { worker: Worker }) {
  if (!job || !purpose) return <span className="text-muted">no job</span>;
  const name = `${PURPOSES[purpose]} ${job_name || job.replace(/^[a-z]+-/, "").slice(0, 8)}`;
  if (purpose === "train")
    return (
      <Link to="/jobs/$jobId" params={{ jobId: job }} className={linkClass}>
        {name}
      </Link>
    );
  if (purpose === "evaluation")
    return (
      <Link to="/evaluations/$evaluationId" params={{ evaluationId: job }} className={linkClass}>
        {name}
      </Link>
    );
  return <span title={job}>{name}</span>;
}
