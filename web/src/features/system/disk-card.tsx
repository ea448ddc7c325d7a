import { Bar } from "@/components/ui/bar";
import { Card } from "@/components/ui/card";
import type { Storage } from "@/features/system/api";
import { kindsOf } from "@/features/system/words";
import { ago, bytes } from "@/lib/format";

/** What the disk is used for, what is free, and what can be removed. */
export function DiskCard({ storage }: { storage: Storage }) {
  if (storage.measured_at === null)
    return (
      <Card title="Disk">
        <p className="text-muted">
          It has not been measured yet; it is measured every ten minutes.
        </p>
      </Card>
    );
  const kinds = kindsOf(storage);
  const most = Math.max(1, ...kinds.map((kind) => kind.bytes));
  const used = kinds.reduce((sum, kind) => sum + kind.bytes, 0);
  return (
    <Card
      title="Disk"
      actions={<p className="text-sm text-muted">measured {ago(storage.measured_at)}</p>}
    >
      <p>
        {bytes(used)} used, {bytes(storage.free)} free.{" "}
        {storage.deletable > 0 ? (
          <>
            <code className="font-mono">oddsmith prune</code> would remove{" "}
            {bytes(storage.deletable)} of them.
          </>
        ) : (
          <>Nothing is left over that could be removed.</>
        )}
      </p>
      <dl className="mt-3 flex flex-col gap-3">
        {kinds.map(({ name, about, bytes: size }) => (
          <div
            key={name}
            className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 gap-y-1 md:grid-cols-[7rem_minmax(0,2fr)_5rem_minmax(0,3fr)]"
          >
            <dt className="font-medium max-md:col-start-1 max-md:row-start-1">{name}</dt>
            <dd className="max-md:col-span-2 max-md:row-start-2">
              <Bar label={`${name}: share of the largest kind`} share={size / most} />
            </dd>
            <dd className="text-right whitespace-nowrap max-md:col-start-2 max-md:row-start-1">
              {bytes(size)}
            </dd>
            <dd className="text-sm text-muted max-md:col-span-2">{about}</dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}
