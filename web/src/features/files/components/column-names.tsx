import { useId } from "react";
import { Field, inputClass } from "@/components/ui/field";
import { type Columns, MAIN, OTHERS, problemOf } from "@/features/files/column-draft";

/** Which column is read as which field: a line for each field, and a choice of others. */
export default function ColumnNames(props: {
  draft: Columns;
  onChange: (draft: Columns) => void;
  /** The names of the file's columns, as far as they are known. */
  known?: readonly string[];
}) {
  const { draft, onChange, known = [] } = props;
  const list = useId();
  const problem = problemOf(draft);
  const own = OTHERS.filter((field) => field in draft);
  return (
    <div className="flex flex-col gap-3">
      <div className="grid gap-3 sm:grid-cols-3">
        {[...MAIN, ...own].map((field) => (
          <Field key={field} label={`Column of ${field}`}>
            {(control) => (
              <input
                {...control}
                list={known.length > 0 ? list : undefined}
                maxLength={200}
                spellCheck={false}
                autoComplete="off"
                placeholder={field}
                className={inputClass}
                value={draft[field] ?? ""}
                onChange={(event) => onChange({ ...draft, [field]: event.target.value })}
              />
            )}
          </Field>
        ))}
      </div>
      <div className="max-w-60">
        <Field label="Another field">
          {(control) => (
            <select
              {...control}
              className={inputClass}
              value=""
              onChange={(event) => onChange({ ...draft, [event.target.value]: "" })}
            >
              <option value="">Choose …</option>
              {OTHERS.filter((field) => !(field in draft)).map((field) => (
                <option key={field}>{field}</option>
              ))}
            </select>
          )}
        </Field>
      </div>
      {problem && (
        <p role="alert" className="text-sm text-rejected">
          {problem}
        </p>
      )}
      <datalist id={list}>
        {known.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </div>
  );
}
