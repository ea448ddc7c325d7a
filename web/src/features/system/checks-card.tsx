import { Card } from "@/components/ui/card";
import { Sentence } from "@/features/jobs/components/sentence";
import type { Check } from "@/features/system/api";
import { failedFirst } from "@/features/system/words";
import { cx } from "@/lib/cx";

const MARKS = {
  true: { mark: "✓", word: "in force", className: "text-chosen" },
  false: { mark: "✗", word: "not in force", className: "text-rejected" },
  null: { mark: "·", word: "no requirement", className: "text-muted" },
};

/** What `oddsmith doctor` says of the API's process. */
export function ChecksCard({ checks }: { checks: readonly Check[] }) {
  return (
    <Card title="Checks">
      <p className="mb-3 text-sm text-muted">
        What protects this installation, as the API's process sees it.{" "}
        <code className="font-mono">oddsmith doctor</code> also looks at listeners and engines.
      </p>
      <dl className="flex flex-col gap-2">
        {failedFirst(checks).map(({ name, ok, what, remedy }) => {
          const { mark, word, className } = MARKS[`${ok}`];
          return (
            <div key={name} className="grid gap-x-4 md:grid-cols-[8rem_minmax(0,1fr)]">
              <dt className="flex gap-2 font-medium">
                <span aria-hidden="true" className={cx("w-3 text-center", className)}>
                  {mark}
                </span>
                {name}
                <span className="sr-only"> ({word})</span>
              </dt>
              <dd className="break-words max-md:pl-5">
                <Sentence text={what} />
                {ok !== true && remedy && (
                  <span className="text-muted">
                    {" "}
                    <Sentence text={remedy} />
                  </span>
                )}
              </dd>
            </div>
          );
        })}
      </dl>
    </Card>
  );
}
