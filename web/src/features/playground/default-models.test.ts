import { expect, test } from "vitest";
import { defaultModels } from "@/features/playground/default-models";

const served = (model: string, base_model: string, status: "ready" | "starting" = "ready") => ({
  model,
  base_model,
  status,
});

test("a job's base and result go first, deployed or not", () => {
  const job = { model: "base", fine_tuned_model: "ft:job" };
  const deployments = [served("ft:other", "base")];
  expect(defaultModels({ job, deployments, models: [] })).toEqual({ a: "base", b: "ft:job" });
});

test("else the newest tuned model that answers now, and its base", () => {
  const deployments = [
    served("ft:2", "base", "starting"),
    served("ft:1", "base"),
    served("base", "base"),
  ];
  const models = [{ id: "ft:2", parent: "base", use: "chat" as const }];
  expect(defaultModels({ job: undefined, deployments, models })).toEqual({ a: "base", b: "ft:1" });
});

test("a base alone leaves the other side to choose", () => {
  const models = [{ id: "base", parent: null, use: "chat" as const }];
  expect(defaultModels({ job: undefined, deployments: [], models })).toEqual({ a: "base" });
});
