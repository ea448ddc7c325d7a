/** The form of a new run as data: its values, its request, and the field of an error. */
import { draftsOf, type GateDraft, gateOf } from "@/features/evaluations/gates/gate-draft";
import type { Job } from "@/features/jobs/api";
import { methodOf } from "@/features/jobs/job";
import { differs, type Method, type Setting, settingsOf, typed } from "@/features/jobs/methods";
import type { Schema } from "@/lib/api";
import { typedNumber } from "@/lib/typed-number";

export type Form = {
  type: string;
  model: string;
  training_file: string;
  validation_file: string;
  suffix: string;
  seed: string;
  /** Settings as typed; an empty one has its default. */
  values: Record<string, string>;
  gates: GateDraft[];
};

export const blank: Form = {
  type: "orpo",
  model: "",
  training_file: "",
  validation_file: "",
  suffix: "",
  seed: "",
  values: {},
  gates: [],
};

/**
 * The form that would create this job again: only values that differ from the defaults are filled
 * in.
 */
export function formOf(job: Job, methods: readonly Method[]): Form {
  const type = methodOf(job);
  const settings = settingsOf(methods.find((method) => method.id === type));
  const changed = settings.filter((setting) => differs(setting, job.hyperparameters[setting.name]));
  return {
    type,
    model: job.model,
    training_file: job.training_file,
    validation_file: job.validation_file ?? "",
    suffix: job.suffix ?? "",
    seed: String(job.seed),
    values: Object.fromEntries(
      changed.map(({ name }) => [name, String(typed(job.hyperparameters[name]) ?? "")]),
    ),
    gates: draftsOf(job.gates),
  };
}

export function bodyOf(form: Form, settings: readonly Setting[]): Schema<"CreateJob"> {
  const hyperparameters: Record<string, unknown> = {};
  for (const setting of settings) {
    const text = form.values[setting.name]?.trim() ?? "";
    if (text !== "") hyperparameters[setting.name] = typedValue(setting, text);
  }
  return {
    model: form.model,
    training_file: form.training_file,
    validation_file: form.validation_file || null,
    // The list of methods comes from the API, which refuses an unknown one by name.
    method: { type: form.type, [form.type]: { hyperparameters } } as Schema<"CreateJob">["method"],
    suffix: form.suffix.trim() || null,
    seed: typedNumber(form.seed) as number | null,
    gates: form.gates.length > 0 ? form.gates.map(gateOf) : null,
  };
}

function typedValue({ kind }: Setting, text: string): unknown {
  if (kind === "flag") return text === "true";
  if (kind === "words") return text.split(/[\s,]+/).filter(Boolean);
  return kind === "choice" || kind === "text" ? text : typedNumber(text);
}

/** The field that an API error is about: the bare name of a setting or of a field. */
export function fieldOf(param: string | null): string | null {
  const [, setting] = /^method\.[^.]+\.hyperparameters\.([^.]+)/.exec(param ?? "") ?? [];
  if (setting) return setting;
  return param?.startsWith("method") ? "method" : param;
}
