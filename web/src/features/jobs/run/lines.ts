/** The lines of a run's charts: series of the training as traces, of held-out rows as dots. */
import type { Line, Point } from "@/components/chart/lines";
import type { Key, Shared } from "@/features/jobs/series";

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

export const DASH = [6, 4];

/** A series of the training, and the same of the held-out rows. */
export const both = (get: Get, name: Shared, colour = "--series-3"): Line[] => [
  trace("train", "training", get(`train:${name}`), { colour }),
  dots("held", "held-out", get(`held_out:${name}`), { colour: "--series-4", dash: DASH }),
];
