import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { Swatch } from "@/components/chart/readout";
import { InfoMark } from "@/components/info-mark";
import { Button } from "@/components/ui/button";
import type { Job } from "@/features/jobs/api";
import { lookOf, type Row, sameHeldOut } from "@/features/jobs/compare/compare";
import { idsOf } from "@/features/jobs/job";
import { cx } from "@/lib/cx";
import { namesOf } from "@/lib/run-name";

/** One column per run: its line style on the charts, its numbers, and its differing settings. */
export function CompareTable(props: {
  jobs: Job[];
  differing: Row[];
  finals: Row[];
  remove: (id: string) => void;
}) {
  const { jobs } = props;
  const names = namesOf(jobs);
  return (
    <>
      {jobs.length > 1 && (
        <p className="text-sm text-muted sm:hidden">
          {jobs.length} runs stand beside each other: scroll the table sideways to see all of them.
        </p>
      )}
      <section
        aria-label="Runs beside each other"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable.
        tabIndex={0}
        className="overflow-x-auto rounded-lg border border-line bg-surface"
      >
        <table className="w-full">
          <thead>
            <tr>
              <th scope="col" className={cx(first, "font-medium text-muted")}>
                Run
              </th>
              {jobs.map((job, place) => (
                <th
                  key={job.id}
                  scope="col"
                  className="min-w-32 px-3 py-2 text-left font-medium sm:min-w-40"
                >
                  <span className="flex max-w-72 items-center gap-2">
                    <Swatch line={{ ...lookOf(place), kind: "trace" }} />
                    <Link
                      to="/jobs/$jobId"
                      params={{ jobId: job.id }}
                      className="truncate hover:text-accent"
                    >
                      {names[place]}
                    </Link>
                    <InfoMark about={names[place] ?? "the run"} facts={idsOf(job)} />
                    <Button
                      small
                      look="quiet"
                      aria-label={`Leave ${names[place]} out`}
                      onClick={() => props.remove(job.id)}
                    >
                      <X aria-hidden="true" size={14} />
                    </Button>
                  </span>
                </th>
              ))}
            </tr>
          </thead>
          <Rows
            title="On held-out pairs, at their newest measurement"
            rows={props.finals}
            span={jobs.length + 1}
          />
          <Rows title="Settings that differ" rows={props.differing} span={jobs.length + 1} isMono />
        </table>
        {!sameHeldOut(jobs) && (
          <p className="px-3 py-2 text-sm text-muted">
            These runs were measured on different held-out pairs, so none is marked as the best.
          </p>
        )}
        {props.differing.length === 0 && jobs.length > 1 && (
          <p className="border-t border-line p-3 text-muted">All settings are alike.</p>
        )}
      </section>
    </>
  );
}

// The API's name of a hyperparameter; other rows have words.
const SETTING = /^[a-z][a-z_]*$/;
const first = "sticky left-0 bg-surface px-3 py-2 text-left";

function Rows(props: { title: string; rows: Row[]; span: number; isMono?: boolean }) {
  if (props.rows.length === 0) return null;
  return (
    <tbody>
      <tr className="border-t border-line">
        <th
          scope="rowgroup"
          colSpan={props.span}
          className="bg-bg px-3 py-1.5 text-left text-sm font-medium text-muted"
        >
          {props.title}
        </th>
      </tr>
      {props.rows.map(({ name, values, best, ids }) => (
        <tr key={name} className="border-t border-line">
          <th
            scope="row"
            className={cx(
              first,
              "font-normal",
              props.isMono && SETTING.test(name) && "font-mono text-sm",
            )}
          >
            {name}
          </th>
          {values.map((value, place) => (
            <td
              // biome-ignore lint/suspicious/noArrayIndexKey: a column is identified by its place.
              key={place}
              className={cx(
                "px-3 py-2",
                ids ? "max-w-72 min-w-40 break-words" : "whitespace-nowrap",
                place === best && "font-semibold",
              )}
            >
              {value} <InfoMark about={value} facts={[["Id", ids?.[place]]]} />
              {place === best && <span className="ml-1 text-sm text-muted">best</span>}
            </td>
          ))}
        </tr>
      ))}
    </tbody>
  );
}
