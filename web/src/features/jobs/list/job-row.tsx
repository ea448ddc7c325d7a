import { Link } from "@tanstack/react-router";
import { InfoMark } from "@/components/info-mark";
import { Progress } from "@/components/progress";
import { State } from "@/components/ui/state";
import { hasEnded, type Job } from "@/features/jobs/api";
import { Tag } from "@/features/jobs/components/tag";
import { advance, idsOf, lambdaOf, methodOf, ran, standing } from "@/features/jobs/job";
import { Sparkline } from "@/features/jobs/list/sparkline";
import { marginOf, READINGS, type Reading, verdictWord } from "@/features/jobs/outcome";
import { cx } from "@/lib/cx";
import { ago, duration, moment, signed } from "@/lib/format";
import { nameOf } from "@/lib/run-name";

export const ROW = 60;

const cell = "border-t border-line px-2 sm:px-3";

export function JobRow(props: {
  job: Job;
  place: number;
  fileName: string | undefined;
  isCurrent: boolean;
  isTicked: boolean;
  canTick: boolean;
  toggle: (id: string) => void;
}) {
  const { job } = props;
  const name = nameOf(job);
  const lambda = lambdaOf(job);
  return (
    <tr
      aria-rowindex={props.place}
      style={{ height: ROW }}
      className={cx(props.isCurrent && "outline-2 -outline-offset-2 outline-accent")}
    >
      <td className={cell}>
        <label className="flex size-6 items-center justify-center">
          <input
            type="checkbox"
            aria-label={`Compare ${name}`}
            checked={props.isTicked}
            disabled={!props.canTick}
            onChange={() => props.toggle(job.id)}
          />
        </label>
      </td>
      <td className={cell}>
        <span className="flex items-center gap-1">
          <Link
            to="/jobs/$jobId"
            params={{ jobId: job.id }}
            className="min-w-0 truncate font-medium hover:text-accent"
          >
            {name}
          </Link>
          <InfoMark about={name} facts={idsOf(job)} />
        </span>
        <p className="truncate text-sm text-muted">
          {job.archived && "archived · "}
          {lambda === null ? methodOf(job) : `λ ${lambda}`}
          {job.tags.map((tag) => (
            <span key={tag}>
              {" "}
              <Tag name={tag} />
            </span>
          ))}
          <span className="2xl:hidden"> · {job.model}</span>
        </p>
      </td>
      <td className={cell}>
        <State value={job.status} />
        <Standing job={job} />
      </td>
      <td className={cx(cell, "hidden sm:table-cell")}>
        <Sparkline job={job} />
      </td>
      <td className={cx(cell, "hidden text-right lg:table-cell")}>{signed(marginOf(job))}</td>
      <td className={cx(cell, "hidden md:table-cell")}>
        <VerdictMark word={verdictWord(job)} />
      </td>
      <td className={cx(cell, "hidden 2xl:table-cell")}>
        <p className="truncate" title={job.model}>
          {job.model}
        </p>
      </td>
      <td className={cx(cell, "hidden 2xl:table-cell")}>
        <p className="truncate" title={props.fileName}>
          {props.fileName ?? "–"}
        </p>
      </td>
      <td className={cx(cell, "hidden whitespace-nowrap text-muted md:table-cell")}>
        <span title={moment(job.created_at)}>{ago(job.created_at)}</span>
      </td>
    </tr>
  );
}

const MARKS: Record<Reading, string> = { helped: "✓ ", hurt: "✗ ", behind: "", unclear: "" };

/** Whether a run helped, in a word; its sentence is the title. */
function VerdictMark({ word }: { word: Reading | null }) {
  if (!word) return <span className="text-muted">–</span>;
  return (
    <span
      title={READINGS[word]}
      className={cx(
        "whitespace-nowrap",
        word === "helped" ? "text-chosen" : word === "hurt" ? "text-rejected" : "text-muted",
      )}
    >
      <span aria-hidden="true">{MARKS[word]}</span>
      {word}
    </span>
  );
}

function Standing({ job }: { job: Job }) {
  if (job.status === "failed")
    return (
      <p className="truncate text-sm text-muted" title={job.error?.message}>
        {job.error?.message}
      </p>
    );
  if (hasEnded(job)) {
    const took = ran(job);
    return (
      <div className="text-sm text-muted">
        <p className="hidden sm:block">{took !== null && `in ${duration(took)}`}</p>
        <div className="sm:hidden">
          <Sparkline job={job} isDrawn={false} />
        </div>
      </div>
    );
  }
  const share = advance(job)?.share ?? null;
  return (
    <>
      <p
        className={cx(
          "text-sm text-muted",
          share === null ? "line-clamp-2 leading-4" : "truncate", // the row's height is fixed
        )}
        title={standing(job)}
      >
        {standing(job)}
      </p>
      {share !== null && <Progress share={share} label={`Progress of ${nameOf(job)}`} />}
    </>
  );
}
