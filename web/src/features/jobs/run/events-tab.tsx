import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { EventRow } from "@/components/event-row";
import { Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { isAlive, type Job, type JobEvent, keys, listEvents, logsQuery } from "@/features/jobs/api";
import { visible } from "@/lib/visible-text";

/** The run's events, newest first, and the log of the training process. */
export function EventsTab({ job, streamed }: { job: Job; streamed: JobEvent[] }) {
  return (
    <div className="grid min-w-0 grid-cols-1 items-start gap-4 xl:grid-cols-2">
      <Events job={job} streamed={streamed} />
      <Logs job={job} />
    </div>
  );
}

function Events({ job, streamed }: { job: Job; streamed: JobEvent[] }) {
  const pages = useInfiniteQuery({
    queryKey: [...keys.results(job.id), "events"],
    queryFn: ({ pageParam }) => listEvents(job.id, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => (page.has_more ? (page.last_id ?? undefined) : undefined),
  });
  const events = useMemo(() => {
    const known = pages.data?.pages.flatMap((page) => page.data) ?? [];
    const ids = new Set(known.map((event) => event.id));
    return [...streamed.filter((event) => !ids.has(event.id)).reverse(), ...known];
  }, [pages.data, streamed]);
  return (
    <Card title="Events" className="min-w-0">
      {pages.error && <ErrorPanel error={pages.error} retry={pages.refetch} />}
      {pages.isPending && <Loading what="Loading the events" />}
      <ol className="flex flex-col">
        {events.map((event) => (
          <EventRow key={event.id} event={event} />
        ))}
      </ol>
      {pages.hasNextPage && (
        <Button small disabled={pages.isFetchingNextPage} onClick={() => pages.fetchNextPage()}>
          Show earlier events
        </Button>
      )}
    </Card>
  );
}

function Logs({ job }: { job: Job }) {
  const { data, error, refetch } = useQuery(logsQuery(job.id, isAlive(job)));
  return (
    <Card title="Log" className="min-w-0">
      {error && <ErrorPanel error={error} retry={refetch} />}
      {data?.truncated && <p className="mb-2 text-sm text-muted">The last 64 kB of it.</p>}
      {data && (
        <pre
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable.
          tabIndex={0}
          className="max-h-[32rem] overflow-auto font-mono text-xs leading-5"
        >
          {visible(settled(data.text)) || "The training process has printed nothing."}
        </pre>
      )}
    </Card>
  );
}

/** The final text of a terminal: of an overwritten line, only the last version. */
const settled = (text: string) =>
  text
    .split("\n")
    .map((line) => line.trimEnd().split("\r").at(-1))
    .join("\n")
    .trim();
