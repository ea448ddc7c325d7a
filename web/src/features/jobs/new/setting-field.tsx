import { ChoiceField, TextField } from "@/components/ui/fields";
import { Sentence } from "@/features/jobs/components/sentence";
import { initialText, type Setting } from "@/features/jobs/methods";

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
    const options =
      setting.kind === "flag"
        ? [
            { value: "true", label: "on" },
            { value: "false", label: "off" },
          ]
        : setting.choices.map((choice) => ({ value: choice, label: choice }));
    return <ChoiceField {...common} options={options} none={`${initial} (default)`} />;
  }
  return (
    <TextField
      {...common}
      isNumber={setting.kind === "number" || setting.kind === "integer"}
      placeholder={initial === "" ? undefined : `${initial} (default)`}
    />
  );
}
