import { CircleCheck, Search, TriangleAlert } from "lucide-react";
import { Card } from "@/components/ui/card";
import type { Schema } from "@/lib/api";
import { number, percent } from "@/lib/format";

type Audit = Schema<"Audit">;
type Length = Schema<"AuditLength">;

const VERDICTS = {
  ready: { says: "Ready to train on", Icon: CircleCheck, className: "text-chosen" },
  check: { says: "Look at it before you train on it", Icon: Search, className: "text-accent" },
  not_ready: {
    says: "Not ready: repair it first",
    Icon: TriangleAlert,
    className: "text-rejected",
  },
};

/** Whether the file is ready, the reasons, and what length and language say about it. */
export function Verdict({ audit, failure }: { audit: Audit | null; failure: string | null }) {
  if (audit === null)
    return (
      <Card title="Audit">
        <p className="text-muted">
          {failure ?? "This file was checked before files were audited. Upload it again."}
        </p>
      </Card>
    );
  const { says, Icon, className } = VERDICTS[audit.verdict];
  return (
    <Card>
      <div className="flex flex-col gap-3">
        <h2 className={`flex items-center gap-2 text-title font-semibold ${className}`}>
          <Icon aria-hidden="true" size={20} />
          {says}
        </h2>
        {audit.reasons.length > 0 ? (
          <ul aria-label="Reasons" className="flex max-w-prose list-disc flex-col gap-1 pl-6">
            {audit.reasons.map((reason) => (
              <li key={reason} className="break-words">
                {reason}
              </li>
            ))}
          </ul>
        ) : (
          <p>Nothing was found that would spoil a training.</p>
        )}
        <div className="grid gap-x-10 gap-y-4 md:grid-cols-2">
          {audit.length && <LengthBias length={audit.length} />}
          {audit.languages.length > 0 && <Languages audit={audit} />}
        </div>
      </div>
    </Card>
  );
}

/** How much of the preference is length. Half is chance. */
function LengthBias({ length }: { length: Length }) {
  const shares: [string, number | null, string][] = [
    ["The longer answer wins", length.longer_wins, "of the pairs of unequal length"],
    ["Guessed by length alone", length.length_only_accuracy, "of the pairs that were held out"],
    ["Guessed by single words", length.bag_of_words_accuracy, "of the pairs that were held out"],
  ];
  return (
    <section aria-label="Length bias" className="flex min-w-0 flex-col gap-2">
      <h3 className="font-medium">Length bias</h3>
      {shares.map(([name, share, of]) => (
        <div key={name} title={share === null ? undefined : of}>
          <p className="flex justify-between gap-3 text-sm">
            <span>{name}</span>
            <span>{share === null ? "too few pairs" : percent(share)}</span>
          </p>
          <Bar share={share ?? 0} mark={0.5} />
        </div>
      ))}
      <p className="text-sm text-muted">
        The line marks one half, which is chance. On average the chosen answer has{" "}
        {number(length.mean_chosen_chars, 0)} characters, the rejected one{" "}
        {number(length.mean_rejected_chars, 0)}. {number(length.n_tested)} pairs were held out.
      </p>
    </section>
  );
}

const MOST_LANGUAGES = 6;
const names = new Intl.DisplayNames(["en"], { type: "language" });

export function languageInWords(code: string): string {
  if (code === "unknown") return "not recognised";
  if (code === "zxx") return "no language";
  try {
    return names.of(code) ?? code;
  } catch {
    return code;
  }
}

function Languages({ audit }: { audit: Audit }) {
  const shown = audit.languages.slice(0, MOST_LANGUAGES);
  const total = audit.languages.reduce((sum, { rows }) => sum + rows, 0);
  return (
    <section aria-label="Languages" className="flex min-w-0 flex-col gap-2">
      <h3 className="font-medium">Languages of the chosen answers</h3>
      {shown.map(({ language, rows }) => (
        <div key={language}>
          <p className="flex justify-between gap-3 text-sm">
            <span>{languageInWords(language)}</span>
            <span>{percent(rows / total, rows / total < 0.01 ? 1 : 0)}</span>
          </p>
          <Bar share={rows / total} />
        </div>
      ))}
      <p className="text-sm text-muted">
        Detected on {number(audit.sampled)} rows
        {audit.languages.length > MOST_LANGUAGES &&
          `; ${number(audit.languages.length - MOST_LANGUAGES)} more languages`}
        .
      </p>
    </section>
  );
}

/** A share as a bar; the figure stands beside it, so a screen reader skips it. */
function Bar({ share, mark }: { share: number; mark?: number }) {
  return (
    <div aria-hidden="true" className="relative h-2 rounded-sm border border-line bg-bg">
      <div className="h-full rounded-sm bg-accent" style={{ width: `${100 * share}%` }} />
      {mark !== undefined && (
        <div
          className="absolute -inset-y-0.5 w-px bg-ink"
          style={{ left: `calc(${100 * mark}% - 0.5px)` }}
        />
      )}
    </div>
  );
}
