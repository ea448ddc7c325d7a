import { expect, test } from "vitest";
import {
  blank,
  bodyOf,
  type Form,
  fieldOf,
  formFaults,
  formOf,
  shownFor,
} from "@/features/evaluations/form";
import type { Evaluation, Suite } from "@/features/evaluations/objects";

const suite = (judge: Suite["judge"], baseline: Suite["baseline"]) =>
  ({ judge, baseline, judging: "pairs" }) as Suite;
const ALL = { baseline: true, judge: true, prompt: true, answers: true, samples: false };
const filled: Form = {
  ...blank,
  model: "acme/tuned",
  suite: "custom",
  data: "file-1",
  against: "model",
  baseline: "acme/base",
  judge: "judge-1",
  judge_prompt: " Compare {prompt} {first} {second} ",
  limit: "20",
  temperature: "0",
};

test("what is empty is left to the API, and zero is a number", () => {
  expect(bodyOf(filled, ALL)).toEqual({
    model: "acme/tuned",
    suite: "custom",
    data: "file-1",
    baseline: "acme/base",
    judge: "judge-1",
    judge_prompt: "Compare {prompt} {first} {second}",
    orders: 2,
    samples: null,
    limit: 20,
    seed: null,
    sampling: { temperature: 0 },
    deploy: false,
  });
});

test("what the suite does not take is not sent", () => {
  const shown = shownFor(suite("no", "no"), undefined);
  const { baseline, judge, judge_prompt } = bodyOf(filled, shown);
  expect([baseline, judge, judge_prompt]).toEqual([null, null, null]);
  const rewarded = shownFor(suite("yes", "optional"), "reward");
  expect(bodyOf(filled, rewarded).judge_prompt).toBeNull();
  expect(bodyOf(filled, rewarded).judge).toBe("judge-1");
});

test("a suite that reads pairs is sent no sampling, no deployment and no endpoint", () => {
  const pairs = { ...suite("no", "optional"), judging: "likelihoods" } as Suite;
  const shown = shownFor(pairs, undefined);
  const { sampling, deploy, baseline } = bodyOf({ ...filled, deploy: true }, shown);
  expect([sampling, deploy, baseline]).toEqual([null, false, "acme/base"]);
  expect(bodyOf({ ...filled, against: "endpoint" }, shown).baseline).toBeNull();
  expect(fieldOf("sampling.top_p", filled, shown)).toBeNull();
  expect(fieldOf("data", filled, shown)).toBe("data");
});

test("an endpoint is a baseline of its own, and a text that is no number is sent as it is", () => {
  const endpoint = { base_url: " https://api.example/v1 ", model: "gpt-x", secret: "" };
  const body = bodyOf({ ...filled, against: "endpoint", endpoint, limit: "many" }, ALL);
  expect(body.baseline).toEqual({
    base_url: "https://api.example/v1",
    model: "gpt-x",
    secret: null,
  });
  expect(body.limit).toBe("many");
});

test("an error stands at its field, and on its own where the form has none", () => {
  const at = (param: string | null, against: Form["against"] = "model", shown = ALL) =>
    fieldOf(param, { against }, shown);
  expect(at("data")).toBe("data");
  expect(at("sampling.max_tokens")).toBe("max_tokens");
  expect(at("baseline")).toBe("baseline");
  expect(at("baseline.base_url", "endpoint")).toBe("baseline.base_url");
  expect(at("baseline.EndpointRequest.secret", "endpoint")).toBe("baseline.secret");
  expect(at("baseline", "endpoint")).toBe("baseline.base_url");
  expect(at("judge", "model", { ...ALL, judge: false })).toBeNull();
  expect(at("something.else")).toBeNull();
  expect(at(null)).toBeNull();
});

test("an evaluation fills in the form that would create it again", () => {
  const side = (model: string) => ({ model, kind: "model", base_url: null, secret: null });
  const evaluation = {
    model: side("acme/tuned"),
    baseline: side("acme/base"),
    suite: { name: "custom", data: "file-1" },
    judge: { id: "judge-1" },
    judge_prompt: null,
    orders: 1,
    limit: null,
    seed: 7,
    sampling: { temperature: 0, max_tokens: 512 },
    deploy: true,
  } as unknown as Evaluation;
  expect(formOf(evaluation)).toEqual({
    ...filled,
    judge_prompt: "",
    orders: "1",
    limit: "",
    seed: "7",
    temperature: "0",
    max_tokens: "512",
    deploy: true,
  });
  const outside = { ...side("gpt-x"), kind: "endpoint", base_url: "https://a/v1", secret: "a" };
  const against = formOf({ ...evaluation, baseline: outside } as Evaluation);
  expect(against).toMatchObject({ against: "endpoint", baseline: "" });
  expect(against.endpoint).toEqual({ base_url: "https://a/v1", model: "gpt-x", secret: "a" });
});

test("all that was left out of a form is told at once", () => {
  const shown = { ...ALL, judge: false, prompt: false };
  const params = (form: Partial<Form>) =>
    formFaults({ ...blank, ...form }, shown).map(({ param }) => param);
  expect(params({ against: "model", limit: "few" })).toEqual([
    "model",
    "suite",
    "data",
    "baseline",
    "limit",
  ]);
  const filled = { model: "m", suite: "ifeval", data: "file-1" };
  expect(params({ ...filled, against: "endpoint" })).toEqual([
    "baseline.base_url",
    "baseline.model",
  ]);
  expect(params({ ...filled, limit: "20", temperature: "0.5" })).toEqual([]);
});

test("the number of samples is sent to a suite that takes several, and its error stands there", () => {
  const several = shownFor({ ...suite("no", "optional"), samples: 5 }, undefined);
  expect(shownFor({ ...suite("no", "optional"), samples: null }, undefined).samples).toBe(false);
  expect(bodyOf({ ...filled, samples: "7" }, several).samples).toBe(7);
  expect(bodyOf({ ...filled, samples: "" }, several).samples).toBeNull();
  expect(bodyOf({ ...filled, samples: "7" }, ALL).samples).toBeNull();
  expect(fieldOf("samples", { against: "none" }, several)).toBe("samples");
  expect(fieldOf("samples", { against: "none" }, ALL)).toBeNull();
});
