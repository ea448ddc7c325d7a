import { ErrorPanel } from "@/components/error-panel";
import type { Placed } from "@/lib/faults";

/** Above a form: the faults that belong to no field of it, or how many fields have one. */
export function FaultsPanel({ placed: { at, rest }, error }: { placed: Placed; error: unknown }) {
  if (rest.length > 0)
    return rest.length === 1 && error ? (
      <ErrorPanel error={error} />
    ) : (
      rest.map((message) => <ErrorPanel key={message} error={message} />)
    );
  if (at.size < 2) return null;
  return (
    <p role="status" className="text-sm text-rejected">
      {at.size} fields need a correction; each says which.
    </p>
  );
}
