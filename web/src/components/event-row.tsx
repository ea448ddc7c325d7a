import { cx } from "@/lib/cx";
import { ago, moment } from "@/lib/format";

type Event = { id: string; created_at: number; level: string; message: string };

/** An event of a job or of an evaluation, as a row of a list. */
export function EventRow({ event }: { event: Event }) {
  return (
    <li className="flex gap-3 border-t border-line py-2 first:border-t-0">
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
  );
}
