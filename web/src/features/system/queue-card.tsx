import { Link } from "@tanstack/react-router";
import { Card } from "@/components/ui/card";
import { Cell, Row, Table } from "@/components/ui/table";
import { Sentence } from "@/features/jobs/components/sentence";
import type { Waiting } from "@/features/system/api";
import { PURPOSES } from "@/features/system/words";
import { ago, duration, moment } from "@/lib/format";

/** Jobs that wait, in the order in which they are expected to start. */
export function QueueCard({ waiting, count }: { waiting: readonly Waiting[]; count: number }) {
  return (
    <Card title="Queue">
      {waiting.length === 0 ? (
        <p className="text-muted">Nothing waits.</p>
      ) : (
        <Table caption="Queue" columns={["Place", "What", "Waits for", "Starts", "Since"]}>
          {waiting.map((each) => (
            <Row key={each.id}>
              <Cell label="Place" className="md:w-16">
                {each.queue?.position ?? "–"}
              </Cell>
              <Cell label="What" className="md:max-w-80">
                <Name waiting={each} />
                <p className="text-sm break-words text-muted">
                  {PURPOSES[each.purpose]} of {each.model}
                </p>
              </Cell>
              <Cell label="Waits for">
                <Sentence text={each.waits_for.message} />
              </Cell>
              <Cell label="Starts" className="md:w-44">
                <Starts at={each.queue?.starts_at ?? null} />
              </Cell>
              <Cell label="Since" className="whitespace-nowrap text-muted md:w-28">
                <span title={moment(each.created_at)}>{ago(each.created_at)}</span>
              </Cell>
            </Row>
          ))}
        </Table>
      )}
      {count > waiting.length && (
        <p className="mt-3 text-sm text-muted">{count - waiting.length} more wait.</p>
      )}
    </Card>
  );
}

/** Only a run, an evaluation and a file have a page. */
function Name({ waiting: { id, purpose, training_file, ...waiting } }: { waiting: Waiting }) {
  const name = waiting.name || id.replace(/^[a-z]+-/, "").slice(0, 8);
  const linkClass = "font-medium break-words text-accent underline";
  if (purpose === "train")
    return (
      <Link to="/jobs/$jobId" params={{ jobId: id }} className={linkClass}>
        {name}
      </Link>
    );
  if (purpose === "evaluation")
    return (
      <Link to="/evaluations/$evaluationId" params={{ evaluationId: id }} className={linkClass}>
        {name}
      </Link>
    );
  if (purpose === "deep_audit")
    return (
      <Link to="/files/$fileId" params={{ fileId: training_file }} className={linkClass}>
        {name}
      </Link>
    );
  return <span className="font-medium break-words">{name}</span>;
}

function Starts({ at }: { at: number | null }) {
  if (at === null) return <span className="text-muted">not known</span>;
  const left = at - Date.now() / 1000;
  return (
    <span title={`A forecast: ${moment(at)}`}>
      {left < 10 ? "now" : `in about ${duration(left)}`}
    </span>
  );
}
