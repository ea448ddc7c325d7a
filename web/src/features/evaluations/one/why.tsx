import { Link } from "@tanstack/react-router";
import type { Evaluation } from "@/features/evaluations/objects";
import { Sentence } from "@/features/jobs/components/sentence";

/** Why an evaluation failed, at the top of its page. */
export function Why({ evaluation: { id, error } }: { evaluation: Evaluation }) {
  return (
    <div role="alert" className="rounded-lg border border-rejected bg-surface p-4">
      <p className="font-medium break-words">
        <Sentence text={error?.message ?? "This evaluation failed and left no reason."} />
      </p>
      <p className="mt-1 text-sm text-muted">
        {error?.param && (
          <>
            It concerns <code className="font-mono">{error.param}</code>.{" "}
          </>
        )}
        <Link to="/evaluations/new" search={{ from: id }} className="text-accent underline">
          Start it again with other settings
        </Link>
        . Answers that were given are not asked for again.
      </p>
    </div>
  );
}
