/** What the page calls a run: its name, or the start of its id. */
import type { Schema } from "@/lib/api";

type Named = Pick<Schema<"JobObject">, "id" | "name">;

const shortId = (id: string) => id.replace(/^ftjob-/, "").slice(0, 8);

/** The name that the user gave, or the start of its id. */
export const nameOf = (job: Named) => job.name || shortId(job.id);

/** Unique names of runs: if two have the same name, the start of the id is added. */
export function namesOf(jobs: readonly Named[]): string[] {
  const names = jobs.map(nameOf);
  return jobs.map((job, i) => {
    const name = names[i] as string;
    return names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} ${shortId(job.id)}`;
  });
}
