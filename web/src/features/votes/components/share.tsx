import { intervalText } from "@/features/votes/ranking";
import type { Schema } from "@/lib/api";
import { percent } from "@/lib/format";

/** A share with its 95% interval; a dash where it isn't known. */
export function Share({ estimate }: { estimate: Schema<"Measured"> | null }) {
  if (!estimate) return <span className="text-muted">–</span>;
  const interval = intervalText(estimate);
  return (
    <p>
      <span className="font-medium whitespace-nowrap">{percent(estimate.value)}</span>{" "}
      {interval && <span className="text-sm whitespace-nowrap text-muted">({interval})</span>}
    </p>
  );
}
