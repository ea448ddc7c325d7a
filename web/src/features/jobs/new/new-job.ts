/** The form of a new run as data: its values, its request, and the field of an error. */
import { draftsOf, type GateDraft, gateOf } from "@/features/evaluations/gates/gate-draft";
import type { Job } from "@/features/jobs/api";
import { methodOf } from "@/features/jobs/job";
import { differs, type Method, type Setting, settingsOf, typed } from "@/features/jobs/methods";
import type { Schema } from "@/lib/api";
import type { Fault } from "@/lib/api-error";
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

/** Sentences about files that were deleted, by the form's field. */
export type Gone = { training_file?: string; validation_file?: string };

/** The form without files that no longer exist, and what to say of them. */
export function withoutGone(
  form: Form,
  exists: (id: string) => boolean,
  run: string,
): { form: Form; gone: Gone } {
  const kept = { ...form };
  const gone: Gone = {};
  if (form.training_file !== "" && !exists(form.training_file)) {
    kept.training_file = "";
    gone.training_file = `The training file of ${run} was deleted (${form.training_file}). Choose another one.`;
  }
  if (form.validation_file !== "" && !exists(form.validation_file)) {
    kept.validation_file = "";
    gone.validation_file = `The validation file of ${run} was deleted (${form.validation_file}). Choose another one; otherwise a share of the training file is held out.`;
  }
  return { form: kept, gone };
}

/** Methods that need no rejected answer; the API refuses conversations for all others. */
const WITHOUT_REJECTED = ["supervised", "ppo", "rloo"];

export const useOf = (method: string) => (WITHOUT_REJECTED.includes(method) ? "answers" : "pairs");

type Bounds = {
  type?: string;
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
  anyOf?: Bounds[];
};

/** What can be told of a form without the API: fields left empty, and numbers out of bounds. */
export function formFaults(form: Form, method: Method | undefined): Fault[] {
  const known = (method?.hyperparameters.properties ?? {}) as Record<string, Bounds>;
  const required = (method?.hyperparameters.required ?? []) as string[];
  const settings = settingsOf(method).map(({ name, kind }) => {
    const text = form.values[name]?.trim() ?? "";
    if (text === "")
      return required.includes(name) ? { param: name, message: `${name} is required.` } : null;
    const words =
      kind === "number" || kind === "integer" ? numberFault(text, kind, known[name]) : null;
    return words === null ? null : { param: name, message: `${name} ${words}.` };
  });
  const seed = form.seed.trim() === "" ? null : numberFault(form.seed, "integer", SEED);
  return [
    form.model === "" ? { param: "model", message: "Choose a base model." } : null,
    form.training_file === ""
      ? { param: "training_file", message: "Choose a training file." }
      : null,
    ...settings,
    seed !== null ? { param: "seed", message: `The seed ${seed}.` } : null,
  ].filter((fault) => fault !== null);
}

const SEED: Bounds = { type: "integer", minimum: 0, maximum: 2 ** 31 - 1 };

function numberFault(text: string, kind: "number" | "integer", schema: Bounds = {}): string | null {
  if (text.toLowerCase() === "auto") return null;
  const value = Number(text);
  if (!Number.isFinite(value))
    return kind === "integer" ? "must be a whole number" : "must be a number";
  if (kind === "integer" && !Number.isInteger(value)) return "must be a whole number";
  const bounds =
    schema.anyOf?.find(({ type }) => type === "number" || type === "integer") ?? schema;
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum } = bounds;
  if (minimum !== undefined && value < minimum) return `must be ${minimum} or more`;
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum)
    return `must be greater than ${exclusiveMinimum}`;
  if (maximum !== undefined && value > maximum) return `must be ${maximum} or less`;
  if (exclusiveMaximum !== undefined && value >= exclusiveMaximum)
    return `must be less than ${exclusiveMaximum}`;
  return null;
}

/** The field that an API error is about: the bare name of a setting or of a field. */
export function fieldOf(param: string | null): string | null {
  const [, setting] = /^method\.[^.]+\.hyperparameters\.([^.]+)/.exec(param ?? "") ?? [];
  if (setting) return setting;
  return param?.startsWith("method") ? "method" : param;
}
