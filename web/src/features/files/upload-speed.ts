/** How fast an upload is, by what was sent in the last seconds. */

export interface Sample {
  /** In milliseconds. */
  at: number;
  /** Bytes that were sent until then. */
  sent: number;
}

const WINDOW_MS = 10_000;
const LEAST_MS = 1_000;
const STEP_MS = 200;

/** The samples with another one; the older ones go, and so does one that follows too closely. */
export function sampled(samples: readonly Sample[], next: Sample): readonly Sample[] {
  const last = samples.at(-1);
  if (last && next.at - last.at < STEP_MS) return samples;
  const kept = samples.filter(({ at }) => next.at - at <= WINDOW_MS);
  return [...kept, next];
}

/** Bytes a second; null before there is enough to measure. */
export function speed(samples: readonly Sample[]): number | null {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last || last.at - first.at < LEAST_MS) return null;
  return ((last.sent - first.sent) / (last.at - first.at)) * 1000;
}
