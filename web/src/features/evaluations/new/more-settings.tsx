import { useId } from "react";
import { TextField } from "@/components/ui/fields";
import { type Form, readsPairs } from "@/features/evaluations/form";
import type { Suite } from "@/features/evaluations/objects";

type Props = {
  form: Form;
  suite: Suite | undefined;
  errorAt: (name: string) => string | null | undefined;
  set: (change: Partial<Form>) => void;
};

/** How many prompts, how answers are sampled, and whether models are deployed for it. */
export function MoreSettings({ form, suite, errorAt, set }: Props) {
  const id = useId();
  const isOfPairs = readsPairs(suite);
  const what = isOfPairs ? "pairs" : "prompts";
  const initial = (name: "temperature" | "top_p" | "max_tokens") => {
    const value = suite?.sampling[name];
    return value == null ? "the engine's default" : `${value} (the suite's)`;
  };
  return (
    <>
      <div className="divide-y divide-line rounded-lg border border-line bg-surface">
        <details open={form.limit !== ""}>
          <summary className="px-4 py-3 font-semibold">
            A part of the {what}
            <span className="ml-2 text-sm font-normal text-muted">
              {form.limit ? `${form.limit} drawn` : `all are ${isOfPairs ? "measured" : "asked"}`}
            </span>
          </summary>
          <div className="grid gap-4 p-4 pt-1 sm:grid-cols-2">
            <TextField
              name="limit"
              label="How many"
              value={form.limit}
              isNumber
              placeholder="all"
              hint="A number draws so many; the result is labelled as a subset."
              error={errorAt("limit")}
              onChange={(limit) => set({ limit })}
            />
            <TextField
              name="seed"
              label="Seed"
              value={form.seed}
              isNumber
              placeholder="0"
              hint={`The same seed draws the same ${what}.`}
              error={errorAt("seed")}
              onChange={(seed) => set({ seed })}
            />
          </div>
        </details>
        {!isOfPairs && (
          <details open={suite?.samples != null}>
            <summary className="px-4 py-3 font-semibold">
              Sampling
              <span className="ml-2 text-sm font-normal text-muted">the same for both models</span>
            </summary>
            <div className="grid gap-4 p-4 pt-1 sm:grid-cols-3">
              {suite?.samples != null && (
                <TextField
                  name="samples"
                  label="Answers to each prompt"
                  value={form.samples}
                  isNumber
                  placeholder={`${suite.samples} (the suite's)`}
                  hint="2 to 20. The temperature must be above 0."
                  error={errorAt("samples")}
                  onChange={(samples) => set({ samples })}
                />
              )}
              {(["temperature", "top_p", "max_tokens"] as const).map((name) => (
                <TextField
                  key={name}
                  name={name}
                  label={name}
                  value={form[name]}
                  isNumber
                  placeholder={initial(name)}
                  error={errorAt(name)}
                  onChange={(value) => set({ [name]: value })}
                />
              ))}
            </div>
          </details>
        )}
      </div>
      {!isOfPairs && (
        <div data-field="deploy" className="flex items-start gap-2">
          <input
            type="checkbox"
            id={id}
            className="mt-0.5 size-4 accent-accent"
            checked={form.deploy}
            onChange={(event) => set({ deploy: event.target.checked })}
          />
          <label htmlFor={id}>
            Deploy what is not deployed
            <span className="block text-sm text-muted">
              It is stopped again at the end. Without this, a model that is not deployed ends the
              evaluation.
            </span>
          </label>
        </div>
      )}
    </>
  );
}
