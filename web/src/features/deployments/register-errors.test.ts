import { expect, test } from "vitest";
import { fieldOf } from "@/features/deployments/register-errors";
import { ApiError } from "@/lib/api";

const error = (message: string, code: string, param: string | null) =>
  new ApiError(400, message, code, param);
const hub = { hub_id: "owner/name", id: "" };

test("a folder's errors stand at the folder or at the name", () => {
  const path = error("There is no such folder.", "invalid_value", "path");
  expect(fieldOf(path, "folder", { hub_id: "", id: "" })).toBe("path");
  const taken = error("The id is taken.", "model_exists", "id");
  expect(fieldOf(taken, "folder", { hub_id: "", id: "mine" })).toBe("id");
});

test("`id` of the hub's model stands at the hub's field", () => {
  const unknown = error("The hub has no model `owner/name`.", "invalid_value", "id");
  expect(fieldOf(unknown, "hub", hub)).toBe("hub_id");
  expect(fieldOf(unknown, "hub", { ...hub, id: "mine" })).toBe("hub_id");
});

test("`id` of a chosen name stands at the name", () => {
  const taken = error("The id `mine` is taken.", "model_exists", "id");
  expect(fieldOf(taken, "hub", { ...hub, id: "mine" })).toBe("id");
  expect(fieldOf(taken, "hub", hub)).toBe("hub_id");
});

test("what names no field of the form stands below it", () => {
  expect(fieldOf(error("Denied.", "insufficient_scope", null), "hub", hub)).toBeNull();
  expect(fieldOf(new Error("?"), "folder", hub)).toBeNull();
});
