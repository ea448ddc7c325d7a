import { useId } from "react";
import { Card } from "@/components/ui/card";
import { ChoiceField, type Group, type Option, TextField } from "@/components/ui/fields";
import { type Form, readsPairs } from "@/features/evaluations/form";
import type { Suite } from "@/features/evaluations/objects";

type Props = {
  form: Form;
  models: (Option | Group)[];
  suite: Suite | undefined;
  errorAt: (name: string) => string | null | undefined;
  set: (change: Partial<Form>) => void;
};

const KINDS: { value: Form["against"]; label: string }[] = [
  { value: "none", label: "No baseline" },
  { value: "model", label: "A model of this installation" },
  { value: "endpoint", label: "A model of another service" },
];

/** What the model is compared with: nothing, a model of ours, or an endpoint. */
export function BaselineFields({ form, models, suite, errorAt, set }: Props) {
  const id = useId();
  const { endpoint } = form;
  // Of another service, the weights are not known.
  const kinds = KINDS.filter(({ value }) => value !== "endpoint" || !readsPairs(suite));
  const against = kinds.some(({ value }) => value === form.against) ? form.against : "none";
  const change = (part: Partial<Form["endpoint"]>) => set({ endpoint: { ...endpoint, ...part } });
  return (
    <Card title="Baseline">
      <div className="flex flex-col gap-4">
        <fieldset data-field={against === "none" ? "baseline" : undefined}>
          <legend className="mb-1 font-medium">Compare with</legend>
          <div className="flex flex-wrap gap-x-6 gap-y-2">
            {kinds.map(({ value, label }) => (
              <label key={value} className="flex items-center gap-2">
                <input
                  type="radio"
                  name={id}
                  value={value}
                  className="size-4 accent-accent"
                  checked={against === value}
                  onChange={() => set({ against: value })}
                />
                {label}
              </label>
            ))}
          </div>
          {against === "none" && <WithoutOne suite={suite} />}
          {against === "none" && errorAt("baseline") && (
            <p role="alert" className="mt-1 text-sm text-rejected">
              {errorAt("baseline")}
            </p>
          )}
        </fieldset>
        {against === "model" && (
          <ChoiceField
            name="baseline"
            label="Baseline model"
            value={form.baseline}
            none="Choose a model"
            options={models}
            error={errorAt("baseline")}
            onChange={(baseline) => set({ baseline })}
          />
        )}
        {against === "endpoint" && (
          <div className="grid gap-4 sm:grid-cols-2">
            <TextField
              name="baseline.base_url"
              label="Address"
              value={endpoint.base_url}
              placeholder="https://api.example.com/v1"
              hint="Of an OpenAI-compatible service, before /chat/completions."
              error={errorAt("baseline.base_url")}
              onChange={(base_url) => change({ base_url })}
            />
            <TextField
              name="baseline.model"
              label="Model there"
              value={endpoint.model}
              error={errorAt("baseline.model")}
              onChange={(model) => change({ model })}
            />
            <TextField
              name="baseline.secret"
              label="Name of the stored key (optional)"
              value={endpoint.secret}
              hint="The operator stores keys; they are never typed here."
              error={errorAt("baseline.secret")}
              onChange={(secret) => change({ secret })}
            />
          </div>
        )}
      </div>
    </Card>
  );
}

function WithoutOne({ suite }: { suite: Suite | undefined }) {
  if (!suite) return null;
  const hint =
    suite.baseline === "yes"
      ? "This suite compares two models: it needs one."
      : suite.outputs
        ? `Without one, the answers in the file's field ${suite.outputs} are the baseline.`
        : "Without one, it is not known whether the model became better.";
  return <p className="mt-1 text-sm text-muted">{hint}</p>;
}
