import { Field, inputClass } from "@/components/ui/field";
import { NAMES } from "@/features/playground/conversation";
import { RULES, type SamplingDraft, wrongIn } from "@/features/playground/sampling";
import { cx } from "@/lib/cx";

/** One draft for both sides, or two drafts, one for each side. */
export type Drafts = [SamplingDraft] | [SamplingDraft, SamplingDraft];

/** The sampling settings, for both sides or for each side. */
export function Settings({ drafts, onChange }: { drafts: Drafts; onChange: (to: Drafts) => void }) {
  const [a, b] = drafts;
  return (
    <div className="flex flex-col gap-3">
      <label className="flex min-h-7 items-center gap-2">
        <input
          type="checkbox"
          className="size-4 accent-accent"
          checked={b !== undefined}
          onChange={(event) => onChange(event.target.checked ? [a, a] : [a])}
        />
        Each side has its own settings
      </label>
      {b ? (
        <div className="grid gap-4 md:grid-cols-2">
          <Fields name={NAMES[0]} draft={a} onChange={(to) => onChange([to, b])} />
          <Fields name={NAMES[1]} draft={b} onChange={(to) => onChange([a, to])} />
        </div>
      ) : (
        <Fields draft={a} onChange={(to) => onChange([to])} />
      )}
    </div>
  );
}

function Fields(props: {
  name?: string;
  draft: SamplingDraft;
  onChange: (draft: SamplingDraft) => void;
}) {
  const { name, draft, onChange } = props;
  return (
    <fieldset className={cx("grid min-w-0 grid-cols-2 gap-3", !name && "lg:grid-cols-4")}>
      <legend className={name ? "mb-2 font-semibold" : "sr-only"}>
        {name ? `Settings of ${name}` : "Settings of both"}
      </legend>
      {RULES.map((rule) => (
        <Field key={rule.name} label={rule.label} hint={rule.hint} error={wrongIn(rule, draft)}>
          {(control) => (
            <input
              {...control}
              className={inputClass}
              inputMode="decimal"
              autoComplete="off"
              value={draft[rule.name]}
              onChange={(event) => onChange({ ...draft, [rule.name]: event.target.value })}
            />
          )}
        </Field>
      ))}
    </fieldset>
  );
}
