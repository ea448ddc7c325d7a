import { expect, test } from "vitest";
import type { Check, Storage } from "@/features/system/api";
import { failedFirst, kindsOf } from "@/features/system/words";

test("each kind of disk use is counted once", () => {
  const storage: Storage = {
    object: "storage",
    measured_at: 1,
    files: 1,
    prepared_data: 10,
    tokens: 20,
    run_logs: 30,
    checkpoints: 100,
    base_models: 1_000,
    merged: 2_000,
    gguf: 3_000,
    database: 10_000,
    comparisons: 9_000,
    logs: 100_000,
    deletable: 7,
    free: 5,
  };
  const bytes = Object.fromEntries(kindsOf(storage).map((kind) => [kind.name, kind.bytes]));
  expect(bytes).toEqual({
    Files: 1,
    Runs: 60,
    Checkpoints: 100,
    Models: 6_000,
    Database: 10_000,
    Logs: 100_000,
  });
});

test("a check that fails is first", () => {
  const check = (name: string, ok: boolean | null) => ({ name, ok, what: "", remedy: "" }) as Check;
  const found = failedFirst([check("User", null), check("Disk", true), check("Sandbox", false)]);
  expect(found.map(({ name }) => name)).toEqual(["Sandbox", "User", "Disk"]);
});
