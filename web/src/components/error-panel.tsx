import { Button } from "@/components/ui/button";
import { ApiError } from "@/lib/api-error";

/** An error as a sentence, the request id for the log, and a retry button. */
export function ErrorPanel({ error, retry }: { error: unknown; retry?: () => void }) {
  const message = error instanceof Error ? error.message : String(error);
  const requestId = error instanceof ApiError ? error.requestId : null;
  return (
    <div role="alert" className="rounded-lg border border-rejected bg-surface p-4">
      <p>{message}</p>
      {requestId && (
        <p className="mt-1 text-sm text-muted">
          Request <code className="font-mono">{requestId}</code>
        </p>
      )}
      {retry && (
        <Button small className="mt-3" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}
