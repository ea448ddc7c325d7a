import type { ReactNode } from "react";
import { Field, inputClass } from "@/components/ui/field";
import { Sentence } from "@/features/jobs/components/sentence";
import { initialText, type Setting } from "@/features/jobs/methods";

type Common = {
  name: string;
  label: string;
  value: string;
  hint?: ReactNode;
  error: string | null | undefined;
  onChange: (value: string) => void;
};

export function Text(props: Common & { placeholder?: string; isNumber?: boolean }) {
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

type Choices = Common & { choices: { value: string; label: string }[]; none?: string };

/** `none` is the text of the empty choice; without it, a choice is required. */
export function Choice(props: Choices) {
  return (
    <div data-field={props.name}>
      <Field label={props.label} hint={props.hint} error={props.error}>
        {(control) => (
          <select
            {...control}
            value={props.value}
            onChange={(event) => props.onChange(event.target.value)}
            className={inputClass}
          >
            {props.none && <option value="">{props.none}</option>}
            {props.choices.map(({ value, label }) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        )}
      </Field>
    </div>
  );
}

/** A setting with its description; empty means the default, which is the placeholder. */
export function SettingField(props: {
  setting: Setting;
  value: string;
  /** Its default depends on another setting that was changed. */
  isUndecided: boolean;
  error: string | null | undefined;
  onChange: (value: string) => void;
}) {
  const { setting, value, error, onChange } = props;
  const initial = props.isUndecided ? "automatic" : initialText(setting);
  const common = {
    name: setting.name,
    label: setting.name,
    hint: <Sentence text={setting.description} />,
    value,
    error,
    onChange,
  };
  if (setting.kind === "choice" || setting.kind === "flag") {
    const choices =
      setting.kind === "flag"
        ? [
            { value: "true", label: "on" },
            { value: "false", label: "off" },
          ]
        : setting.choices.map((choice) => ({ value: choice, label: choice }));
    return <Choice {...common} choices={choices} none={`${initial} (default)`} />;
  }
  return (
    <Text
      {...common}
      isNumber={setting.kind === "number" || setting.kind === "integer"}
      placeholder={initial === "" ? undefined : `${initial} (default)`}
    />
  );
}
