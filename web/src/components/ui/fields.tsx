import type { ReactNode } from "react";
import { Field, inputClass } from "@/components/ui/field";
import { cx } from "@/lib/cx";

type Common = {
  /** The API's name: an error finds its field by it. */
  name: string;
  label: string;
  value: string;
  hint?: ReactNode;
  error: string | null | undefined;
  onChange: (value: string) => void;
};

export function TextField(props: Common & { placeholder?: string; isNumber?: boolean }) {
  return (
    <div data-field={props.name}>
      <Field label={props.label} hint={props.hint} error={props.error}>
        {(control) => (
          <input
            {...control}
            value={props.value}
            placeholder={props.placeholder}
            inputMode={props.isNumber ? "decimal" : undefined}
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => props.onChange(event.target.value)}
            className={inputClass}
          />
        )}
      </Field>
    </div>
  );
}

export function LongTextField(props: Common & { placeholder?: string }) {
  return (
    <div data-field={props.name}>
      <Field label={props.label} hint={props.hint} error={props.error}>
        {(control) => (
          <textarea
            {...control}
            rows={8}
            value={props.value}
            placeholder={props.placeholder}
            spellCheck={false}
            onChange={(event) => props.onChange(event.target.value)}
            className={cx(inputClass, "py-2")}
          />
        )}
      </Field>
    </div>
  );
}

export type Option = { value: string; label: string; isDisabled?: boolean };
export type Group = { name: string; options: Option[] };

/** A choice; `none` is the text of the empty one. Groups without an option are left out. */
export function ChoiceField(props: Common & { options: (Option | Group)[]; none?: string }) {
  return (
    <div data-field={props.name} className="min-w-0">
      <Field label={props.label} hint={props.hint} error={props.error}>
        {(control) => (
          <select
            {...control}
            value={props.value}
            onChange={(event) => props.onChange(event.target.value)}
            className={cx(inputClass, "truncate pe-8")}
          >
            {props.none && <option value="">{props.none}</option>}
            {props.options.map((each) =>
              "options" in each
                ? each.options.length > 0 && (
                    <optgroup key={each.name} label={each.name}>
                      {each.options.map(drawn)}
                    </optgroup>
                  )
                : drawn(each),
            )}
          </select>
        )}
      </Field>
    </div>
  );
}

const drawn = ({ value, label, isDisabled }: Option) => (
  <option key={value} value={value} disabled={isDisabled}>
    {label}
  </option>
);
