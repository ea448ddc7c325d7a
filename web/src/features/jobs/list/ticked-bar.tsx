import { Needs } from "@/components/needs";
import { Button } from "@/components/ui/button";
import type { Job } from "@/features/jobs/api";
import { ArchiveButton } from "@/features/jobs/components/archive-button";

/**
 * What can be done with the ticked runs. It stays at the lower edge of the window, on a phone above
 * the bar of rooms, however far the list is scrolled.
 */
export function TickedBar(props: {
  jobs: readonly Job[];
  isFull: boolean;
  clear: () => void;
  compare: () => void;
}) {
  const { jobs } = props;
  return (
    <section
      aria-label="Ticked runs"
      className="sticky bottom-12 z-[5] flex flex-wrap items-center justify-end gap-2 rounded-lg border border-muted bg-surface px-3 py-2 md:bottom-0"
    >
      <p className="mr-auto text-sm text-muted">
        {jobs.length} ticked{props.isFull && ", the maximum"}
      </p>
      <Button small look="quiet" onClick={props.clear}>
        Clear
      </Button>
      <Needs scope="write" lacking="hidden">
        <ArchiveButton small jobs={jobs} onDone={props.clear} />
      </Needs>
      <Button small look="primary" disabled={jobs.length < 2} onClick={props.compare}>
        Compare <kbd className="hidden font-mono text-sm md:inline">c</kbd>
      </Button>
    </section>
  );
}
