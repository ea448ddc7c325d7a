import { useQuery } from "@tanstack/react-query";
import { ErrorPanel } from "@/components/error-panel";
import { Card } from "@/components/ui/card";
import { eventsQuery } from "@/features/evaluations/api";
import type { Evaluation } from "@/features/evaluations/objects";
import { cx } from "@/lib/cx";
import { ago, moment } from "@/lib/format";

/** What happened to an evaluation, newest first. */
export function EventsCard({ evaluation }: { evaluation: Evaluation }) {
  const { data, error, refetch } = useQuery(eventsQuery(evaluation.id));
  return (
    <Card title="Events">
      {error && <ErrorPanel error={error} retry={() => refetch()} />}
      {data?.data.length === 0 && <p className="text-muted">Nothing happened yet.</p>}
      <ol
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable.
        tabIndex={0}
        aria-label="Events"
        className="flex max-h-96 flex-col overflow-y-auto"
      >
        {data?.data.map((event) => (
          <li key={event.id} className="flex gap-3 border-t border-line py-2 first:border-t-0">
            <time
              dateTime={new Date(event.created_at * 1000).toISOString()}
              title={moment(event.created_at)}
              className="w-24 shrink-0 text-sm text-muted"
            >
              {ago(event.created_at)}
            </time>
            <p className={cx("min-w-0 break-words", event.level === "error" && "text-rejected")}>
              {event.level !== "info" && (
                <strong className="font-semibold">
                  {event.level === "error" ? "Error: " : "Warning: "}
                </strong>
              )}
              {event.message}
            </p>
          </li>
        ))}
      </ol>
      {data?.has_more && <p className="mt-2 text-sm text-muted">The newest 100 are shown.</p>}
    </Card>
  );
}
