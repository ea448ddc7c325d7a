/** The system in words: kinds of disk use, machines, purposes of jobs, checks that need attention. */
import type { Check, Storage, Waiting, Worker } from "@/features/system/api";

/** Kinds that are shown together, in the order of the list. */
const KINDS: readonly { name: string; about: string; of: readonly (keyof Storage)[] }[] = [
  { name: "Files", about: "Uploads, their accepted rows, and results.", of: ["files"] },
  {
    name: "Runs",
    about: "Rows, tokens, logs and numbers of runs.",
    of: ["prepared_data", "tokens", "run_logs"],
  },
  {
    name: "Checkpoints",
    about: "Weights of runs, with what they resume from.",
    of: ["checkpoints"],
  },
  {
    name: "Models",
    about: "Bases that were downloaded, merged weights, files for llama.cpp.",
    of: ["base_models", "merged", "gguf"],
  },
  { name: "Database", about: "Comparisons and votes included.", of: ["database"] },
  { name: "Logs", about: "Of the stack and its engines.", of: ["logs"] },
];

export type Kind = { name: string; about: string; bytes: number };

/** What the disk is used for. Comparisons are in the database, so they are not counted again. */
export const kindsOf = (storage: Storage): Kind[] =>
  KINDS.map(({ name, about, of }) => ({
    name,
    about,
    bytes: of.reduce((sum, kind) => sum + Number(storage[kind] ?? 0), 0),
  }));

/** The workers of each machine, in the order of the machines' names. */
export function hostsOf(workers: readonly Worker[]): [string, Worker[]][] {
  const hosts = new Map<string, Worker[]>();
  for (const worker of workers) hosts.set(worker.host, [...(hosts.get(worker.host) ?? []), worker]);
  return [...hosts].sort(([a], [b]) => a.localeCompare(b));
}

/** The GPUs of a machine, each once: every train worker there lists them. */
export function devicesOf(workers: readonly Worker[]): Worker["devices"] {
  const devices = new Map(
    workers.flatMap((worker) => worker.devices.map((gpu) => [gpu.index, gpu])),
  );
  return [...devices.values()].sort((a, b) => a.index - b.index);
}

export const PURPOSES: Record<Waiting["purpose"], string> = {
  train: "run",
  estimate: "estimate",
  deep_audit: "deep audit",
  evaluation: "evaluation",
};

/** Checks that fail come first; the others stay in the order of `oddsmith doctor`. */
export const failedFirst = (checks: readonly Check[]): Check[] => [
  ...checks.filter(({ ok }) => ok === false),
  ...checks.filter(({ ok }) => ok !== false),
];
