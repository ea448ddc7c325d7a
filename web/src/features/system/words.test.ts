import { expect, test } from "vitest";
import type { Check, Storage, Worker } from "@/features/system/api";
import { devicesOf, failedFirst, hostsOf, kindsOf } from "@/features/system/words";

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

test("a machine has its workers, and each GPU once", () => {
  const gpu = (index: number) => ({ index, name: "GPU", memory_bytes: 1 });
  const worker = (id: string, host: string, gpus: number[] = []) =>
    ({ id, host, devices: gpus.map(gpu) }) as Worker;
  const hosts = hostsOf([
    worker("1", "node-b"),
    worker("2", "node-a", [1, 0]),
    worker("3", "node-a", [0, 1]),
  ]);
  expect(hosts.map(([host, here]) => [host, here.map(({ id }) => id)])).toEqual([
    ["node-a", ["2", "3"]],
    ["node-b", ["1"]],
  ]);
  expect(devicesOf(hosts[0]?.[1] ?? []).map(({ index }) => index)).toEqual([0, 1]);
});

test("a check that fails is first", () => {
  const check = (name: string, ok: boolean | null) => ({ name, ok, what: "", remedy: "" }) as Check;
  const found = failedFirst([check("User", null), check("Disk", true), check("Sandbox", false)]);
  expect(found.map(({ name }) => name)).toEqual(["Sandbox", "User", "Disk"]);
});
