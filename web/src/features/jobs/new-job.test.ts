import { expect, test } from "vitest";
import type { Job } from "@/features/jobs/api";
import { groupsOf, settingsOf } from "@/features/jobs/methods";
import { blank, bodyOf, fieldOf, formOf } from "@/features/jobs/new-job";

const settings = settingsOf({
  properties: {
    type: { type: "string", default: "orpo" },
    lambda: { type: "number", default: 0.1, description: "Weight." },
    max_steps: { anyOf: [{ type: "integer" }, { type: "null" }], default: null },
    tuning: { $ref: "#/$defs/Tuning", default: "lora" },
    prefix_sharing: { type: "boolean", default: true },
    brand_new: { type: "number", default: 1 },
    modules_to_save: { type: "array" },
  },
  $defs: { Tuning: { enum: ["lora", "full"] } },
});

test("settings are read from the schema, an unknown one lands in the last group", () => {
  expect(settings.map(({ name, kind }) => `${name}:${kind}`)).toEqual([
    "lambda:number",
    "max_steps:integer",
    "tuning:choice",
    "prefix_sharing:flag",
    "brand_new:number",
    "modules_to_save:words",
  ]);
  expect(settings[2]?.choices).toEqual(["lora", "full"]);
  const groups = groupsOf(settings);
  expect(groups[0]?.settings.map(({ name }) => name)).toEqual(["lambda", "tuning"]);
  expect(groups.at(-1)?.settings.map(({ name }) => name)).toContain("brand_new");
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
    brand_new: 1,
    modules_to_save: [],
  };
  const job = {
    model: "m",
    training_file: "f",
    seed: 7,
    method: { type: "orpo" },
    hyperparameters,
  };
  const form = formOf(job as unknown as Job, [{ type: "orpo", sentence: "", settings }]);
  expect(form).toMatchObject({ model: "m", seed: "7", values: { lambda: "0.5" } });
});

test.each([
  ["method.orpo.hyperparameters.lambda", "lambda"],
  ["method.type", "method"],
  ["training_file", "training_file"],
  [null, null],
])("an error at %s belongs to the field %s", (param, field) => {
  expect(fieldOf(param)).toBe(field);
});
