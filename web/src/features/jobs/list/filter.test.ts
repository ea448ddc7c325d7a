import { expect, test } from "vitest";
import type { Job } from "@/features/jobs/api";
import { faultsOf, inOrder, matches, sortOf, sortText } from "@/features/jobs/list/filter";

const job = (more: Partial<Job>): Job =>
  ({
    id: "ftjob-1",
    suffix: "short",
    model: "SmolLM2-135M",
    status: "running",
    training_file: "file-9",
    hyperparameters: { lambda: 0.25, tuning: "lora", max_steps: null },
    metadata: { tag: "abl" },
    method: { type: "orpo" },
    created_at: 1,
    progress: null,
    ...more,
  }) as Job;

test.each([
  ["", true],
  ["smol", true],
  ["lambda>=0.2", true],
  ["lambda>0.25", false],
  ["lambda=0.25 tag:abl", true],
  ["tuning!=lora", false],
  ["status:running pairs.jsonl", true],
  ["smol nothing", false],
  ["unknown:thing", false],
])("the filter %s gives %s", (filter, expected) => {
  expect(matches(job({}), filter, "pairs.jsonl")).toBe(expected);
});

test("the order stands in the URL, and falls back to the newest first", () => {
  const jobs = [job({ id: "a", created_at: 1 }), job({ id: "b", created_at: 2 })];
  expect(inOrder(jobs, sortOf("created")).map((each) => each.id)).toEqual(["a", "b"]);
  expect(inOrder(jobs, sortOf("nonsense")).map((each) => each.id)).toEqual(["b", "a"]);
  expect(sortText(sortOf("-name"))).toBe("-name");
});

const RUNS = [
  job({ fine_tuned_model: "ft:smol:acme:short:1", metadata: { tag: "abl", Owner: "kim" } }),
];

test.each([
  ["lamda>=0.2", "No run has a setting or tag “lamda”; “lambda” exists."],
  ["colour:red", "No run has a setting or tag “colour”."],
  ["lambda>=O.2", "“lambda” is a number, and “o.2” is none."],
  ["lambda>=", "“lambda>=” needs a value, such as “lambda>=1”."],
  ["tuning>lora", "“tuning” is text: compare it with “:”, not with “>”."],
  ["status:runing", /^No run can have the status “runing”: there are validating_files, queued/],
])("the filter %s says what is wrong with it", (filter, fault) => {
  expect(faultsOf(filter, RUNS)).toEqual([
    typeof fault === "string" ? fault : expect.stringMatching(fault),
  ]);
});

test.each([
  "",
  "nothing such",
  "lambda>=7",
  "status:validating_files",
  "tag:x",
  "owner:kim",
  "max_steps>9",
])("nothing is wrong with the filter %s", (filter) => {
  expect(faultsOf(filter, RUNS)).toEqual([]);
});

test("a word with a colon that stands in a run is text", () => {
  const runs = [job({ suffix: "sweep:2" })];
  expect(faultsOf("sweep:2", runs)).toEqual([]);
  expect(faultsOf("sweep:3", runs)).toEqual(["No run has a setting or tag “sweep”."]);
});
