import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { Progress } from "@/components/progress";
import { Card } from "@/components/ui/card";
import { State } from "@/components/ui/state";
import { evaluationsQuery } from "@/features/evaluations/api";
import {
  comparedInWords,
  hasEnded as evaluationHasEnded,
  phaseOf,
} from "@/features/evaluations/words";
import type { Job } from "@/features/jobs/api";
import { advance, standing } from "@/features/jobs/job";
import { nameOf } from "@/lib/run-name";

const MOST = 6;
const LOOKED_AT = 20;
const LAST = 1e9;

/** What runs comes first, then what waits, by its place. */
const rank = ({ status, queue }: Job) => (status === "running" ? 0 : (queue?.position ?? LAST));

/** What runs or waits, with its progress and the time that is left. It is read every two seconds. */
export function RunningNow({ jobs }: { jobs: readonly Job[] }) {
  const found = useQuery(evaluationsQuery({}, LOOKED_AT));
  const evaluations = found.data?.data.filter((each) => !evaluationHasEnded(each)) ?? [];
  const rest = jobs.length - MOST;
  const inOrder = [...jobs].sort((a, b) => rank(a) - rank(b) || a.created_at - b.created_at);
  return (
    <Card title="Running now">
      {jobs.length + evaluations.length === 0 ? (
        <p className="text-muted">Nothing runs, and nothing waits.</p>
      ) : (
        <ul className="flex flex-col divide-y divide-line">
          {inOrder.slice(0, MOST).map((job) => (
            <Item
              key={job.id}
              status={job.status}
              name={nameOf(job)}
              says={standing(job)}
              share={advance(job)?.share ?? null}
            >
              <Link
                to="/jobs/$jobId"
                params={{ jobId: job.id }}
                className="block truncate font-medium hover:text-accent"
              >
                {nameOf(job)}
              </Link>
              <p className="truncate text-sm text-muted">{job.model}</p>
            </Item>
          ))}
          {evaluations.map((evaluation) => {
            const { share, says } = phaseOf(evaluation);
            const name = `${evaluation.suite.title}: ${comparedInWords(evaluation)}`;
            return (
              <Item
                key={evaluation.id}
                status={evaluation.status}
                name={name}
                says={says}
                share={share}
              >
                <Link
                  to="/evaluations/$evaluationId"
                  params={{ evaluationId: evaluation.id }}
                  className="block truncate font-medium hover:text-accent"
                >
                  {evaluation.suite.title}
                </Link>
                <p className="truncate text-sm text-muted">{comparedInWords(evaluation)}</p>
              </Item>
            );
          })}
        </ul>
      )}
      {rest > 0 && (
        <p className="mt-3 text-sm">
          <Link to="/jobs" className="text-accent underline">
            {rest} more {rest === 1 ? "run" : "runs"}
          </Link>
        </p>
      )}
    </Card>
  );
}

function Item(props: {
  status: string;
  name: string;
  says: string;
  share: number | null;
  children: ReactNode;
}) {
  const { status, name, says, share } = props;
  return (
    <li className="grid items-center gap-x-4 gap-y-1 py-2 first:pt-0 last:pb-0 md:grid-cols-[minmax(0,2fr)_8.5rem_minmax(0,3fr)]">
      <div className="min-w-0">{props.children}</div>
      <State value={status} />
      <div className="min-w-0">
        <p className="text-sm text-muted">{says}</p>
        {share !== null && <Progress share={share} label={`Progress of ${name}`} />}
      </div>
    </li>
  );
}
