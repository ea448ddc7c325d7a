import { Info } from "lucide-react";
import { type ToggleEvent, useId, useRef } from "react";
import { CopyButton } from "@/components/copy-button";

/** A name, such as `SHA-256`, and its value; facts without a value are left out. */
export type Fact = readonly [name: string, value: string | null | undefined];

const [WIDTH, GAP] = [320, 4];

/**
 * Ids and hashes behind a mark: the page shows names. `about` names what they belong to.
 *
 * The browser's own popover: it is above everything, closes on Escape and on a click beside it, and
 * gives the focus back.
 */
export function InfoMark({ about, facts }: { about: string; facts: readonly Fact[] }) {
  const id = useId();
  const mark = useRef<HTMLButtonElement>(null);
  const given = facts.flatMap(([name, value]) => (value ? [[name, value] as const] : []));
  const place = (event: ToggleEvent<HTMLDivElement>) => {
    if (event.newState !== "open" || !mark.current) return;
    const { left, bottom, top } = mark.current.getBoundingClientRect();
    const box = event.currentTarget;
    const width = Math.min(WIDTH, innerWidth - 2 * GAP);
    const isLow = bottom > innerHeight * 0.6;
    box.style.width = `${width}px`;
    box.style.left = `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`;
    box.style.top = isLow ? "auto" : `${bottom + GAP}px`;
    box.style.bottom = isLow ? `${innerHeight - top + GAP}px` : "auto";
  };
  if (given.length === 0) return null;
  return (
    <span className="inline-flex align-middle">
      <button
        ref={mark}
        type="button"
        popoverTarget={id}
        aria-label={`Ids of ${about}`}
        className="inline-flex size-6 items-center justify-center rounded-md text-muted hover:text-ink"
      >
        <Info aria-hidden="true" size={14} />
      </button>
      <div
        id={id}
        popover="auto"
        role="dialog"
        aria-label={`Ids of ${about}`}
        onBeforeToggle={place}
        className="fixed inset-auto m-0 rounded-lg border border-muted bg-surface p-3 text-start text-base font-normal whitespace-normal text-ink"
      >
        <dl className="flex flex-col gap-2">
          {given.map(([name, value]) => (
            <div key={name}>
              <dt className="text-sm text-muted">{name}</dt>
              <dd className="flex items-start justify-between gap-2">
                <code className="min-w-0 font-mono text-sm break-all">{value}</code>
                <CopyButton text={value} what={`${name} of ${about}`} />
              </dd>
            </div>
          ))}
        </dl>
      </div>
    </span>
  );
}
