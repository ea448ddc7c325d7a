import { expect, test } from "vitest";
import { type Model, madeOf, startsOf } from "@/features/jobs/new/starts";

const model = (id: string, more: Partial<Model> = {}): Model => ({
  id,
  object: "model",
  created: 0,
  owned_by: "org",
  kind: "base",
  parent: null,
  deployed: false,
  use: "chat",
  status: "ready",
  error: null,
  job_id: null,
  revision: null,
  promoted: null,
  info: {},
  ...more,
});
const tuned = (id: string, more: Partial<Model> = {}) =>
  model(id, { kind: "tuned", parent: "tiny", ...more });
const ids = (models: Model[]) => models.map(({ id }) => id);

test("a run starts from a base, or from a tuned model that answers", () => {
  const found = startsOf([model("tiny"), tuned("ft:a"), tuned("ft:judge", { use: "judge" })]);
  expect([ids(found.bases), ids(found.tuned)]).toEqual([["tiny"], ["ft:a"]]);
});

test("a tuned model of which a base was made stands among the bases", () => {
  const merging = model("ft-a", { parent: "ft:a", status: "merging" });
  expect(ids(startsOf([tuned("ft:a"), merging]).tuned)).toEqual(["ft:a"]);
  const models = [tuned("ft:a"), { ...merging, id: "old", status: "error" as const }, merging];
  expect(madeOf(models, "ft:a")?.id).toBe("old");
  const ready = { ...merging, status: "ready" as const };
  expect(madeOf([...models, ready], "ft:a")).toEqual(ready);
  expect(ids(startsOf([...models, ready]).tuned)).toEqual([]);
});
