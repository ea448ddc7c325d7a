/** The lines of a run's charts: series of the training as traces, of held-out rows as dots. */
import type { Line, Point } from "@/components/chart/lines";
import type { Key } from "@/features/jobs/series";

export type Get = (key: Key) => Point[];
type Look = Pick<Line, "colour"> & Partial<Line>;

export const trace = (key: string, label: string, points: Point[], look: Look): Line => ({
  key,
  label,
  points,
  kind: "trace",
  ...look,
});
export const dots = (key: string, label: string, points: Point[], look: Look): Line => ({
  ...trace(key, label, points, look),
  kind: "dots",
});
