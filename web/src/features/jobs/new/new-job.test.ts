import { expect, test } from "vitest";
import type { Job } from "@/features/jobs/api";
import { initialText, type Method, type Setting, settingsOf } from "@/features/jobs/methods";
import { blank, bodyOf, fieldOf, formOf } from "@/features/jobs/new/new-job";

const setting = (name: string, kind: Setting["kind"], initial: Setting["default"]): Setting => ({
  name,
  kind,
  choices: [],
  default: initial,
  description: "",
});
const method: Method = {
  id: "orpo",
  object: "fine_tuning.method",
  label: "ORPO",
  description: "",
  groups: [
    { name: "Settings", settings: [setting("lambda", "number", 0.1)] },
    {
      name: "Schedule",
      settings: [
        setting("max_steps", "integer", null),
        setting("tuning", "choice", "lora"),
        setting("prefix_sharing", "flag", true),
        setting("modules_to_save", "words", []),
      ],
    },
  ],
  hyperparameters: {},
};
const settings = settingsOf(method);

test("defaults are read as a person says them", () => {
  expect(settings.map(initialText)).toEqual(["0.1", "automatic", "lora", "on", "none"]);
});

test("only what was typed is sent, as its own type; nonsense goes to the API as it is", () => {
  const values = {
    lambda: "2.5e-1",
    tuning: "full",
    prefix_sharing: "false",
    max_steps: "many",
    modules_to_save: "embed_tokens, lm_head",
  };
  const body = bodyOf({ ...blank, model: "m", training_file: "f", values }, settings);
  expect(body.method).toEqual({
    type: "orpo",
    orpo: {
      hyperparameters: {
        lambda: 0.25,
        tuning: "full",
        prefix_sharing: false,
        max_steps: "many",
        modules_to_save: ["embed_tokens", "lm_head"],
      },
    },
  });
  expect(body.validation_file).toBeNull();
});

test("a job becomes the form that creates it again", () => {
  const hyperparameters = {
    lambda: 0.5,
    max_steps: null,
    tuning: "lora",
    prefix_sharing: true,
    modules_to_save: [],
  };
  const job = {
    model: "m",
    training_file: "f",
    seed: 7,
    method: { type: "orpo" },
    hyperparameters,
    gates: [{ suite: "ifeval", metric: "prompt_strict", data: "p", at_least: "base" }],
  };
  const form = formOf(job as unknown as Job, [method]);
  expect(form).toMatchObject({ model: "m", seed: "7", values: { lambda: "0.5" } });
  expect(Object.keys(form.values)).toEqual(["lambda"]);
  expect(bodyOf(form, settings).gates).toMatchObject(job.gates);
});

test.each([
  ["method.orpo.hyperparameters.lambda", "lambda"],
  ["method.type", "method"],
  ["training_file", "training_file"],
  [null, null],
])("an error at %s belongs to the field %s", (param, field) => {
  expect(fieldOf(param)).toBe(field);
});
