import { expect, test } from "vitest";
import type { Job } from "@/features/jobs/api";
import { standing, tabOf, withNews } from "@/features/jobs/job";

const job = (fields: Partial<Job>) =>
  ({ id: "ftjob-0123456789", name: "my-run", status: "running", ...fields }) as Job;

const before = { code: "jobs_before" as const, message: "Waits for 2 jobs before it." };

test("a job that waits says for what, and when it starts", () => {
  const queued = job({ status: "queued", waits_for: before, queue: null });
  expect(standing(queued)).toBe("Waits for 2 jobs before it");
  const forecast = { ...queued, queue: { position: 3, starts_at: 1200 } };
  expect(standing(forecast, 1000)).toBe("Waits for 2 jobs before it; starts in about 3:20 min");
  expect(standing(forecast, 1199)).toBe("Waits for 2 jobs before it");
});

test("a job whose files are read shows how far, else what it waits for", () => {
  const waits_for = { code: "no_worker" as const, message: "Waits for a worker." };
  const reading = job({ status: "validating_files", waits_for });
  expect(standing(reading)).toBe("Waits for a worker");
  const preparing = { tokenised: 5, pairs: 9 };
  expect(standing({ ...reading, progress: { preparing } })).toBe("Read 5 of 9 pairs");
});

test("once a job runs, what it waited for before is not said any more", () => {
  const started = withNews(job({ status: "queued", waits_for: before }), { status: "running" });
  expect(standing(started)).toBe("Loading the model");
  const still = withNews(job({ status: "queued", waits_for: before }), { trained_tokens: 0 });
  expect(standing(still)).toBe("Waits for 2 jobs before it");
});

test("the tab shows the progress while a run runs, and its end state afterwards", () => {
  const progress = { step: 43, steps: 100 };
  expect(tabOf(job({ progress }))).toBe("43% · my-run");
  expect(tabOf(job({ progress: { step: 999, steps: 1000 } }))).toBe("99% · my-run");
  expect(tabOf(job({ status: "validating_files" }))).toBe("validating files · my-run");
  expect(tabOf(job({ progress, status: "succeeded" }))).toBe("succeeded · my-run");
});
