import { expect, test } from "vitest";
import type { Job } from "@/features/jobs/api";
import { initialText, type Method, type Setting, settingsOf } from "@/features/jobs/methods";
import {
  blank,
  bodyOf,
  fieldOf,
  formFaults,
  formOf,
  withoutGone,
} from "@/features/jobs/new/new-job";

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

test("all that is wrong with a form is told at once, in plain words and by its labels", () => {
  const bounded: Method = {
    ...method,
    hyperparameters: {
      required: ["tuning"],
      properties: {
        lambda: { type: "number", exclusiveMinimum: 0, maximum: 100 },
        max_steps: { anyOf: [{ type: "integer", minimum: 1 }, { type: "null" }] },
      },
    },
  };
  const said = (form: Partial<typeof blank>) =>
    formFaults({ ...blank, ...form }, bounded).map(({ message }) => message);
  expect(said({ seed: "-1", values: { lambda: "0", max_steps: "1.5" } })).toEqual([
    "Choose a base model.",
    "Choose a training file.",
    "lambda must be greater than 0.",
    "max_steps must be a whole number.",
    "tuning is required.",
    "The seed must be 0 or more.",
  ]);
  const filled = { model: "m", training_file: "f" };
  expect(said({ ...filled, values: { lambda: "many", max_steps: "0", tuning: "lora" } })).toEqual([
    "lambda must be a number.",
    "max_steps must be 1 or more.",
  ]);
  expect(said({ ...filled, values: { lambda: "auto", max_steps: "9", tuning: "lora" } })).toEqual(
    [],
  );
  expect(said({ ...filled, values: { lambda: "101", tuning: "lora" } })).toEqual([
    "lambda must be 100 or less.",
  ]);
});

test("a form of a run whose file was deleted says so, and does not send the file", () => {
  const form = { ...blank, training_file: "file-1", validation_file: "file-2" };
  const { form: kept, gone } = withoutGone(form, (id) => id === "file-2", "short");
  expect(kept).toMatchObject({ training_file: "", validation_file: "file-2" });
  expect(gone).toEqual({
    training_file: "The training file of short was deleted (file-1). Choose another one.",
  });
  expect(withoutGone(form, () => false, "short").gone.validation_file).toContain("file-2");
  expect(withoutGone(form, () => true, "short")).toEqual({ form, gone: {} });
});
