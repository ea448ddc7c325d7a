import { useQuery } from "@tanstack/react-query";
import { ErrorPanel } from "@/components/error-panel";
import { EventRow } from "@/components/event-row";
import { Card } from "@/components/ui/card";
import { eventsQuery } from "@/features/evaluations/api";
import type { Evaluation } from "@/features/evaluations/objects";

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
          <EventRow key={event.id} event={event} />
        ))}
      </ol>
      {data?.has_more && <p className="mt-2 text-sm text-muted">The newest 100 are shown.</p>}
    </Card>
  );
}
