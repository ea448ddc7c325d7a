import { expect, test } from "vitest";
import type { Job } from "@/features/jobs/api";
import { inOrder, matches, sortOf, sortText } from "@/features/jobs/list/filter";

const job = (more: Partial<Job>): Job =>
  ({
    id: "ftjob-1",
    suffix: "short",
    model: "SmolLM2-135M",
    status: "running",
    training_file: "file-9",
    hyperparameters: { lambda: 0.25, tuning: "lora" },
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
