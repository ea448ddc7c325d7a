import { Link } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { Needs } from "@/components/needs";
import { Progress } from "@/components/progress";
import { State } from "@/components/ui/state";
import { hasEnded, type Job } from "@/features/jobs/api";
import { advance, ran, standing } from "@/features/jobs/job";
import { Steering } from "@/features/jobs/run/steering";
import { duration, moment, number } from "@/lib/format";

const TABS = ["curves", "pairs", "samples", "evaluations", "checkpoints", "events", "config"];

/** The bar that stays visible: state, progress, actions and tabs. */
export function JobBar({ job, tab }: { job: Job; tab: string }) {
  const at = advance(job);
  const nav = useRef<HTMLElement>(null);
  // On a phone the last tabs are out of view.
  useEffect(() => {
    const shown = nav.current?.querySelector<HTMLElement>(`[data-tab="${tab}"]`);
    if (nav.current && shown)
      nav.current.scrollLeft = shown.offsetLeft - nav.current.offsetLeft - 48;
  }, [tab]);
  return (
    <div className="sticky top-0 z-[5] -mx-4 -mt-2 border-b border-line bg-bg px-4 pt-1 md:-mx-6 md:px-6">
      <div className="flex min-h-9 flex-wrap items-center gap-x-4 gap-y-2">
        <State value={job.status} />
        {hasEnded(job) ? (
          <p className="text-muted">{ending(job)}</p>
        ) : (
          <div className="flex min-w-40 flex-1 flex-wrap items-center gap-x-3 gap-y-1">
            {at && (
              <div className="w-full max-w-80 min-w-24 flex-1">
                <Progress share={at.share} label="Progress of the run" />
              </div>
            )}
            <p className="text-muted">{standing(job)}</p>
          </div>
        )}
        <div className="ml-auto flex gap-2">
          <Needs scope="write">
            <Steering job={job} />
          </Needs>
        </div>
      </div>
      <nav ref={nav} aria-label="Parts of this run" className="-mb-px flex gap-4 overflow-x-auto">
        {TABS.map((name) => (
          <Link
            key={name}
            data-tab={name}
            to="/jobs/$jobId"
            params={{ jobId: job.id }}
            search={(before) => ({ ...before, tab: name })}
            aria-current={tab === name ? "page" : undefined}
            className="min-h-9 border-b-2 border-transparent px-0.5 py-2 whitespace-nowrap text-muted capitalize hover:text-ink aria-[current=page]:border-accent aria-[current=page]:text-ink"
          >
            {name}
          </Link>
        ))}
      </nav>
    </div>
  );
}

function ending(job: Job): string {
  const took = ran(job);
  const steps = advance(job)?.step;
  return [
    steps !== undefined && `${number(steps, 0)} steps`,
    took !== null && `in ${duration(took)}`,
    job.finished_at && `ended ${moment(job.finished_at)}`,
  ]
    .filter(Boolean)
    .join(", ");
}
