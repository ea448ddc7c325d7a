/** Answers to held-out prompts as they changed during a run. */
import { queryOptions } from "@tanstack/react-query";
import { keys } from "@/features/jobs/api";
import { client, type Schema, take } from "@/lib/api";
import { readAll } from "@/lib/pages";

type Row = Schema<"SampleObject">;

export type Sample = {
  line: number;
  prompt: Row["prompt"];
  chosen: string;
  rejected: string | null;
  /** By step. */
  answers: Map<number, string>;
};

export const samplesQuery = (jobId: string) =>
  queryOptions({
    queryKey: [...keys.results(jobId), "samples"],
    queryFn: async () => {
      const path = { job_id: jobId };
      const all = await readAll((after) => {
        const params = { path, query: { after } };
        return take(client.GET("/v1/fine_tuning/jobs/{job_id}/samples", { params }));
      });
      return byLine(all.data);
    },
  });

export function byLine(rows: readonly Row[]): { steps: number[]; samples: Sample[] } {
  const samples = new Map<number, Sample>();
  for (const { step, line, prompt, answer, chosen, rejected } of rows) {
    const known = samples.get(line);
    if (known) known.answers.set(step, answer);
    else {
      const answers = new Map([[step, answer]]);
      samples.set(line, { line, prompt, chosen, rejected, answers });
    }
  }
  const steps = [...new Set(rows.map((row) => row.step))].sort((a, b) => a - b);
  return { steps, samples: [...samples.values()] };
}
