/** The methods and their settings, read from the schemas that the API validates with. */
import { queryOptions } from "@tanstack/react-query";
import { z } from "zod/mini";
import { getJson } from "@/features/jobs/api";

const Property = z.looseObject({
  type: z.optional(z.string()),
  enum: z.optional(z.array(z.string())),
  $ref: z.optional(z.string()),
  anyOf: z.optional(z.array(z.looseObject({ type: z.optional(z.string()) }))),
  default: z.optional(z.unknown()),
  description: z.optional(z.string()),
});
const Schema = z.looseObject({
  properties: z.record(z.string(), Property),
  $defs: z.optional(z.record(z.string(), z.looseObject({ enum: z.optional(z.array(z.string())) }))),
});
const Methods = z.object({
  data: z.array(z.object({ id: z.string(), description: z.string(), hyperparameters: Schema })),
});

export type Setting = {
  name: string;
  kind: "number" | "integer" | "choice" | "flag" | "words";
  choices: string[];
  /** null: the API decides, as the sentence says. */
  initial: unknown;
  sentence: string;
};
export type Method = { type: string; sentence: string; settings: Setting[] };

export const methodsQuery = queryOptions({
  queryKey: ["jobs", "methods"],
  queryFn: async () =>
    (await getJson("/v1/fine_tuning/methods", Methods)).data.map(
      ({ id, description, hyperparameters }): Method => ({
        type: id,
        sentence: description,
        settings: settingsOf(hyperparameters),
      }),
    ),
  staleTime: Number.POSITIVE_INFINITY,
});

export function settingsOf(schema: z.infer<typeof Schema>): Setting[] {
  return Object.entries(schema.properties)
    .filter(([name]) => name !== "type")
    .map(([name, property]) => {
      const choices =
        property.enum ?? schema.$defs?.[property.$ref?.split("/").at(-1) ?? ""]?.enum ?? [];
      const types = [property.type, ...(property.anyOf ?? []).map((branch) => branch.type)];
      const kind = kindOf(types, choices);
      return {
        name,
        kind,
        choices,
        initial: property.default ?? (kind === "words" ? "" : null),
        sentence: property.description ?? "",
      };
    });
}

function kindOf(types: (string | undefined)[], choices: string[]): Setting["kind"] {
  if (choices.length > 0) return "choice";
  if (types.includes("boolean")) return "flag";
  if (types.includes("array")) return "words";
  return types.includes("integer") ? "integer" : "number";
}

const FIRST = [
  "lambda",
  "beta",
  "gamma",
  "nll_weight",
  "n_epochs",
  "learning_rate",
  "batch_size",
  "tuning",
];
const GROUPS: [string, string[]][] = [
  ["Settings", FIRST],
  [
    "Schedule",
    [
      "max_steps",
      "learning_rate_multiplier",
      "schedule",
      "warmup_ratio",
      "weight_decay",
      "max_grad_norm",
    ],
  ],
  ["Adapter", ["lora_rank", "lora_alpha", "use_rslora", "use_dora", "modules_to_save"]],
  ["Text and loss", ["max_length", "overlong", "turns", "nll_reduction", "nll_tokens"]],
  [
    "Measuring",
    [
      "held_out_fraction",
      "max_held_out",
      "eval_every",
      "checkpoint_every",
      "n_samples",
      "sample_tokens",
    ],
  ],
];
const REST = "Speed and memory";

/** Settings by theme, those that matter first; one that is not known here is in the last group. */
export function groupsOf(settings: readonly Setting[]): { name: string; settings: Setting[] }[] {
  const placed = new Set(GROUPS.flatMap(([, names]) => names));
  const pick = (names: string[]) =>
    names.flatMap((name) => settings.filter((setting) => setting.name === name));
  const rest = settings.filter((setting) => !placed.has(setting.name));
  return [
    ...GROUPS.map(([name, names]) => ({ name, settings: pick(names) })),
    { name: REST, settings: rest },
  ].filter((group) => group.settings.length > 0);
}

/** A setting's value as it is typed and compared: several words stand in one line. */
export const typed = (value: unknown) => (Array.isArray(value) ? value.join(", ") : value);

/** The default as a person reads it. */
export function initialText({ initial, kind }: Setting): string {
  if (initial === null) return "automatic";
  if (kind === "words" && initial === "") return "none";
  if (kind === "flag") return initial ? "on" : "off";
  return String(initial);
}
