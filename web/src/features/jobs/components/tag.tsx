import type { ReactNode } from "react";

/** A tag of a run, as a chip; the children are its actions. */
export function Tag({ name, children }: { name: string; children?: ReactNode }) {
  return (
    <span className="inline-flex max-w-full items-center gap-0.5 rounded-full border border-line bg-surface px-2 text-sm text-muted">
      <span className="truncate">{name}</span>
      {children}
    </span>
  );
}
