import { Link } from "@tanstack/react-router";
import { Card } from "@/components/ui/card";
import { Cell, Row, Table } from "@/components/ui/table";
import type { Worker } from "@/features/system/api";
import { PURPOSES } from "@/features/system/words";
import { ago, bytes, moment, number } from "@/lib/format";

/** The workers of all queues, with what each may compute on. */
export function WorkersCard({ workers }: { workers: readonly Worker[] }) {
  return (
    <Card title="Workers">
      {workers.length === 0 ? (
        <p className="text-muted">
          No worker is alive: nothing is checked, trained or served until one is started.
        </p>
      ) : (
        <Table
          caption="Workers"
          columns={["Queues", "Machine", "Devices", "Memory", "Version", "Last seen", "Works on"]}
        >
          {workers.map((worker) => (
            <Row key={worker.id}>
              <Cell label="Queues">
                <span className="font-medium">{worker.queues.join(", ")}</span>
              </Cell>
              <Cell label="Machine">
                <span title={worker.id}>{worker.host}</span>
              </Cell>
              <Cell label="Devices">
                <Devices worker={worker} />
              </Cell>
              <Cell label="Memory" className="whitespace-nowrap">
                {bytes(worker.memory_bytes)}
              </Cell>
              <Cell label="Version">
                {worker.release ?? "–"}
                {worker.outdated && (
                  <span className="block text-sm text-rejected">
                    Older than the API: it leaves newer jobs alone. Upgrade it.
                  </span>
                )}
              </Cell>
              <Cell label="Last seen" className="whitespace-nowrap text-muted">
                <span title={moment(worker.seen_at)}>{ago(worker.seen_at)}</span>
              </Cell>
              <Cell label="Works on">
                <Work worker={worker} />
              </Cell>
            </Row>
          ))}
        </Table>
      )}
    </Card>
  );
}

function Devices({ worker: { devices, cores } }: { worker: Worker }) {
  if (devices.length === 0) return <>{number(cores, 0)} cores</>;
  return (
    <ul>
      {devices.map(({ index, name, memory_bytes }) => (
        <li key={index}>
          {name}, {bytes(memory_bytes)}
        </li>
      ))}
    </ul>
  );
}

/** Estimates and deep audits have no page of their own. */
function Work({ worker: { job, purpose } }: { worker: Worker }) {
  if (!job || !purpose) return <span className="text-muted">–</span>;
  const name = `${PURPOSES[purpose]} ${job.replace(/^[a-z]+-/, "").slice(0, 8)}`;
  if (purpose === "train")
    return (
      <Link to="/jobs/$jobId" params={{ jobId: job }} className="text-accent underline">
        {name}
      </Link>
    );
  if (purpose === "evaluation")
    return (
      <Link
        to="/evaluations/$evaluationId"
        params={{ evaluationId: job }}
        className="text-accent underline"
      >
        {name}
      </Link>
    );
  return <span title={job}>{name}</span>;
}
