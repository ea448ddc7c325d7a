import { expect, test } from "vitest";
import type { Job } from "@/features/jobs/api";
import {
  faultsOf,
  inOrder,
  matches,
  sortOf,
  sortText,
  startsDescending,
} from "@/features/jobs/list/filter";

const job = (more: Partial<Job>): Job =>
  ({
    id: "ftjob-1",
    suffix: "short",
    name: "short",
    tags: ["b2", "sweep"],
    notes: "Look at line 3 again.",
    archived: false,
    outcome: null,
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
  const runs = [job({ name: "sweep:2" })];
  expect(faultsOf("sweep:2", runs)).toEqual([]);
  expect(faultsOf("sweep:3", runs)).toEqual(["No run has a setting or tag “sweep”."]);
});

const numbers = (step: number, accuracy: number, margin: number) => ({
  step,
  accuracy,
  accuracy_low: accuracy - 0.1,
  accuracy_high: accuracy + 0.1,
  log_odds_ratio: margin,
  reward_margin: null,
});
const measured = job({
  outcome: { before: numbers(0, 0.4, -1), after: numbers(20, 0.75, 0.5) },
});

test.each([
  ["accuracy>=0.7", true],
  ["accuracy>0.75", false],
  ["log_odds_ratio>0 verdict:helped", true],
  ["verdict:hurt", false],
  ["tag:b2", true],
  ["tag:abl", true],
  ["tag:none", false],
  ["tag!=b2", false],
  ["again", true],
  ["archived:no", true],
  ["archived:yes", false],
])("results and labels: the filter %s gives %s", (filter, expected) => {
  expect(matches(measured, filter)).toBe(expected);
});

test("a run without a measurement fits no comparison of results", () => {
  expect(matches(job({}), "accuracy<0.9")).toBe(false);
  expect(matches(job({}), "verdict:helped")).toBe(false);
});

test("an archived run is left out unless the filter has a word on it", () => {
  const archived = job({ archived: true });
  for (const filter of ["", "short", "tag:b2", "archived:no", "archived:false"])
    expect(matches(archived, filter)).toBe(false);
  for (const filter of ["archived:yes", "archived:all short", "archived:true"])
    expect(matches(archived, filter)).toBe(true);
  expect(matches(job({}), "archived:all")).toBe(true);
});

test.each([
  ["archived:maybe", "“archived” is yes, no or all, not “maybe”."],
  ["verdict:good", /^No run can have the verdict “good”: there are hurt, unclear, behind, helped/],
  ["acuracy>=0.7", "No run has a setting or tag “acuracy”; “accuracy” exists."],
  ["accuracy>=much", "“accuracy” is a number, and “much” is none."],
])("the filter %s says what is wrong with it", (filter, fault) => {
  expect(faultsOf(filter, [measured])).toEqual([
    typeof fault === "string" ? fault : expect.stringMatching(fault),
  ]);
});

test("runs are sorted by their results, those without one last in both directions", () => {
  const worse = job({
    id: "worse",
    outcome: { before: numbers(0, 0.7, 1), after: numbers(9, 0.4, -0.1) },
  });
  const runs = [job({ id: "none" }), { ...measured, id: "better" }, worse];
  const order = (sort: string) => inOrder(runs, sortOf(sort)).map(({ id }) => id);
  for (const by of ["accuracy", "margin", "verdict"]) {
    expect(order(`-${by}`)).toEqual(["better", "worse", "none"]);
    expect(order(by)).toEqual(["worse", "better", "none"]);
  }
  expect(["accuracy", "name"].map((by) => startsDescending(by as "accuracy"))).toEqual([
    true,
    false,
  ]);
});
