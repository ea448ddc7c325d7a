/** The sampling settings, as typed into fields and as sent. */
export type Sampling = {
  temperature?: number;
  top_p?: number;
  max_tokens?: number;
  seed?: number;
};

export type SamplingDraft = Record<keyof Sampling, string>;

export const DEFAULTS: SamplingDraft = {
  temperature: "0",
  top_p: "1",
  max_tokens: "512",
  seed: "",
};

type Rule = {
  name: keyof Sampling;
  label: string;
  hint: string;
  isAllowed: (value: number) => boolean;
  wrong: string;
};

export const RULES: Rule[] = [
  {
    name: "temperature",
    label: "Temperature",
    hint: "0 takes the likeliest token.",
    isAllowed: (value) => value >= 0 && value <= 2,
    wrong: "Temperature is a number from 0 to 2.",
  },
  {
    name: "top_p",
    label: "Top p",
    hint: "1 leaves no token out.",
    isAllowed: (value) => value > 0 && value <= 1,
    wrong: "Top p is a number above 0, up to 1.",
  },
  {
    name: "max_tokens",
    label: "Max tokens",
    hint: "Where an answer is cut off.",
    isAllowed: (value) => Number.isInteger(value) && value >= 1,
    wrong: "Max tokens is a whole number, 1 or more.",
  },
  {
    name: "seed",
    label: "Seed",
    hint: "If empty, a new seed each time.",
    isAllowed: (value) => Number.isSafeInteger(value),
    wrong: "A seed is a whole number.",
  },
];

export function wrongIn(rule: Rule, draft: SamplingDraft): string | null {
  const typed = draft[rule.name].trim();
  return typed === "" || rule.isAllowed(Number(typed)) ? null : rule.wrong;
}

/** The settings to send; null while a field is invalid. For an empty field the server chooses. */
export function samplingOf(draft: SamplingDraft): Sampling | null {
  const sampling: Sampling = {};
  for (const rule of RULES) {
    if (wrongIn(rule, draft)) return null;
    const typed = draft[rule.name].trim();
    if (typed !== "") sampling[rule.name] = Number(typed);
  }
  return sampling;
}
