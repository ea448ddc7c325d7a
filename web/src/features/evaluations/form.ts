/** The form of a new evaluation as data: its values, its request, and the field of an error. */
import type { Evaluation, Suite } from "@/features/evaluations/objects";
import type { Schema } from "@/lib/api";
import type { Fault } from "@/lib/api-error";
import { typedNumber } from "@/lib/typed-number";

export type Form = {
  model: string;
  suite: string;
  data: string;
  against: "none" | "model" | "endpoint";
  baseline: string;
  endpoint: { base_url: string; model: string; secret: string };
  judge: string;
  judge_prompt: string;
  orders: "1" | "2";
  samples: string;
  limit: string;
  seed: string;
  temperature: string;
  top_p: string;
  max_tokens: string;
  deploy: boolean;
};

export const blank: Form = {
  model: "",
  suite: "",
  data: "",
  against: "none",
  baseline: "",
  endpoint: { base_url: "", model: "", secret: "" },
  judge: "",
  judge_prompt: "",
  orders: "2",
  samples: "",
  limit: "",
  seed: "",
  temperature: "",
  top_p: "",
  max_tokens: "",
  deploy: false,
};

const SAMPLING = ["temperature", "top_p", "max_tokens"] as const;

/** The form that would create this evaluation again; sampling is filled in as it was. */
export function formOf(evaluation: Evaluation): Form {
  const { model, suite, baseline, sampling } = evaluation;
  const text = (value: number | null | undefined) => (value == null ? "" : String(value));
  const isEndpoint = baseline?.kind === "endpoint";
  return {
    ...blank,
    model: model.model,
    suite: suite.name,
    data: suite.data,
    against: isEndpoint ? "endpoint" : baseline ? "model" : "none",
    baseline: baseline && !isEndpoint ? baseline.model : "",
    endpoint: isEndpoint
      ? {
          base_url: baseline.base_url ?? "",
          model: baseline.model,
          secret: baseline.secret ?? "",
        }
      : blank.endpoint,
    judge: evaluation.judge?.id ?? "",
    judge_prompt: evaluation.judge_prompt ?? "",
    orders: evaluation.orders === 1 ? "1" : "2",
    samples: text(evaluation.samples),
    limit: text(evaluation.limit),
    seed: String(evaluation.seed),
    temperature: text(sampling.temperature),
    top_p: text(sampling.top_p),
    max_tokens: text(sampling.max_tokens),
    deploy: evaluation.deploy,
  };
}

/** What a suite takes of the form. */
export type Shown = {
  baseline: boolean;
  judge: boolean;
  prompt: boolean;
  /** Whether models are asked for answers; else they are measured on the pairs of the file. */
  answers: boolean;
  /** Whether each prompt gets several answers. */
  samples: boolean;
};

export const readsPairs = (suite: Suite | undefined) => suite?.judging === "likelihoods";

export function shownFor(suite: Suite | undefined, judgeKind: string | undefined): Shown {
  return {
    baseline: suite?.baseline !== "no",
    judge: suite !== undefined && suite.judge !== "no",
    // A reward model reads no prompt of a judge.
    prompt: suite?.judging === "pairs" && judgeKind !== undefined && judgeKind !== "reward",
    answers: !readsPairs(suite),
    samples: suite?.samples != null,
  };
}

export function bodyOf(form: Form, shown: Shown): Schema<"CreateEvaluation"> {
  const sampling: Record<string, unknown> = {};
  for (const name of shown.answers ? SAMPLING : []) {
    const value = typedNumber(form[name]);
    if (value !== null) sampling[name] = value;
  }
  return {
    model: form.model,
    suite: form.suite,
    data: form.data,
    baseline: shown.baseline ? baselineOf(form, shown) : null,
    judge: (shown.judge && form.judge) || null,
    judge_prompt: (shown.prompt && form.judge_prompt.trim()) || null,
    orders: Number(form.orders),
    samples: shown.samples ? (typedNumber(form.samples) as number | null) : null,
    limit: typedNumber(form.limit) as number | null,
    seed: typedNumber(form.seed) as number | null,
    sampling: Object.keys(sampling).length > 0 ? sampling : null,
    deploy: shown.answers && form.deploy,
  };
}

function baselineOf({ against, baseline, endpoint }: Form, { answers }: Shown) {
  if (against === "none" || (against === "endpoint" && !answers)) return null;
  if (against === "model") return baseline || null;
  const { base_url, model, secret } = endpoint;
  return { base_url: base_url.trim(), model: model.trim(), secret: secret.trim() || null };
}

const FIELDS = [
  "model",
  "suite",
  "data",
  "baseline",
  "judge",
  "judge_prompt",
  "orders",
  "samples",
  "limit",
  "seed",
  "deploy",
  ...SAMPLING,
];
const ENDPOINT = ["base_url", "model", "secret"];

/** What can be told of a form without the API: what was left empty, and numbers that are none. */
export function formFaults(form: Form, shown: Shown): Fault[] {
  const isEmpty = (text: string) => text.trim() === "";
  const empty: [boolean, string, string][] = [
    [form.model === "", "model", "Choose a model."],
    [form.suite === "", "suite", "Choose a suite."],
    [form.data === "", "data", "Choose a file of prompts."],
    [
      shown.baseline && form.against === "model" && form.baseline === "",
      "baseline",
      "Choose the model to compare with.",
    ],
    [
      shown.baseline && form.against === "endpoint" && isEmpty(form.endpoint.base_url),
      "baseline.base_url",
      "Give the address of the endpoint.",
    ],
    [
      shown.baseline && form.against === "endpoint" && isEmpty(form.endpoint.model),
      "baseline.model",
      "Give the name of the endpoint's model.",
    ],
  ];
  const numbers = [...SAMPLING, "limit", "seed"] as const;
  return [
    ...empty.filter(([isWrong]) => isWrong).map(([, param, message]) => ({ param, message })),
    ...numbers
      .filter((name) => typeof typedNumber(form[name]) === "string")
      .map((name) => ({ param: name, message: "This must be a number." })),
  ];
}

/** The field that an API error is about, as the form names it; null if it has no such field. */
export function fieldOf(param: string | null, form: Pick<Form, "against">, shown: Shown) {
  if (param === null) return null;
  const [first = "", ...rest] = param.split(".");
  const last = rest.at(-1);
  if (first === "baseline" && form.against === "endpoint")
    return ENDPOINT.includes(last ?? "") ? `baseline.${last}` : "baseline.base_url";
  const field = first === "sampling" ? (last ?? "") : first;
  const isHidden =
    (field === "baseline" && !shown.baseline) ||
    (field === "judge" && !shown.judge) ||
    (field === "judge_prompt" && !shown.prompt) ||
    (field === "samples" && !shown.samples) ||
    (!shown.answers && [...SAMPLING, "deploy"].includes(field));
  return FIELDS.includes(field) && !isHidden ? field : null;
}
