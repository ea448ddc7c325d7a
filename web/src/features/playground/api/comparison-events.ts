/** The frames of a comparison's stream. Unknown ones are ignored. */
import type { Schema } from "@/lib/api";

/** The model and weights that answer on a side, as the server reports them. */
export type Attested = Schema<"ComparisonSide">;
export type Choice = Schema<"Choice">;
export type ComparisonEvent =
  | Schema<"ComparisonBegun">
  | Schema<"SideDelta">
  | Schema<"SideEnded">
  | Schema<"SideFailed">
  | Schema<"ErrorBody">;

// Each frame has one of these fields, and no other.
const MARKS = ["comparison", "delta", "done", "error"];

/** Null for a frame that this page doesn't know. Throws if it isn't JSON. */
export function parseEvent(data: string): ComparisonEvent | null {
  const frame = JSON.parse(data);
  return MARKS.some((mark) => mark in frame) ? frame : null;
}
