import { useQuery } from "@tanstack/react-query";
import { ErrorPanel } from "@/components/error-panel";
import { Loading, Page } from "@/components/page";
import { Sentence } from "@/features/jobs/components/sentence";
import { doctorQuery, storageQuery, systemQuery, workersQuery } from "@/features/system/api";
import { ChecksCard } from "@/features/system/checks-card";
import { DiskCard } from "@/features/system/disk-card";
import { EnginesCard } from "@/features/system/engines-card";
import { QueueCard } from "@/features/system/queue-card";
import { WorkersCard } from "@/features/system/workers-card";

/** What the stack does: what waits and what for, workers, engines, disk, and what protects it. */
export function SystemPage() {
  const system = useQuery(systemQuery);
  const workers = useQuery(workersQuery);
  const storage = useQuery(storageQuery);
  const doctor = useQuery(doctorQuery);
  const failed = [system, workers, storage, doctor].find(({ error, data }) => error && !data);
  return (
    <Page title="System" lead="What waits and what for, what computes, and what the disk holds.">
      {failed && <ErrorPanel error={failed.error} retry={() => failed.refetch()} />}
      {system.isPending && <Loading what="Looking at the system" />}
      {system.data && system.data.degraded.length > 0 && <Degraded says={system.data.degraded} />}
      {system.data && <QueueCard waiting={system.data.waiting} count={system.data.waiting_count} />}
      {workers.data && <WorkersCard workers={workers.data} />}
      {system.data && <EnginesCard engines={system.data.engines} />}
      {storage.data && <DiskCard storage={storage.data} />}
      {doctor.data && <ChecksCard checks={doctor.data.checks} />}
      {storage.data === null && (
        <p className="text-sm text-muted">
          Disk use and the checks of <code className="font-mono">oddsmith doctor</code> are shown to
          administrators of the organisation that runs this installation.
        </p>
      )}
    </Page>
  );
}

function Degraded({ says }: { says: readonly string[] }) {
  return (
    <div role="alert" className="rounded-lg border border-rejected bg-surface p-4">
      <p className="font-medium">Some work waits, because a part of the stack is missing.</p>
      <ul className="mt-1 list-disc pl-5">
        {says.map((sentence) => (
          <li key={sentence}>
            <Sentence text={sentence} />
          </li>
        ))}
      </ul>
    </div>
  );
}
