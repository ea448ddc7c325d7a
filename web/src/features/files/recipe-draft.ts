/**
 * The steps of a recipe for a file, in the order of the clicks: repair buttons offer some, the panel
 * of versions others. Nothing is stored before the recipe is applied.
 */
import { useSyncExternalStore } from "react";
import type { Schema } from "@/lib/api";

export type RecipeStep = Schema<"RecipeBody">["recipe"][number];

const NONE: readonly RecipeStep[] = [];
const drafts = new Map<string, readonly RecipeStep[]>();
const listeners = new Set<() => void>();

const isSame = (one: RecipeStep, other: RecipeStep) =>
  JSON.stringify(one) === JSON.stringify(other);

/** The steps that are offered for a file. */
export const offeredSteps = (fileId: string) => drafts.get(fileId) ?? NONE;

/** Offer a step; one that is offered already is left where it is. */
export function offerStep(fileId: string, step: RecipeStep) {
  const steps = offeredSteps(fileId);
  if (!steps.some((each) => isSame(each, step))) put(fileId, [...steps, step]);
}

/** Take a step back. */
export const withdrawStep = (fileId: string, step: RecipeStep) =>
  put(
    fileId,
    offeredSteps(fileId).filter((each) => !isSame(each, step)),
  );

type LineStep = Extract<RecipeStep, { step: "swap" | "drop_rows" }> & { lines: number[] };

const LINES_OF_A_STEP = 10_000; // as the API allows

/** Swaps of a finding's rows name no lines. */
const isLineStep = (step: RecipeStep): step is LineStep =>
  (step.step === "swap" || step.step === "drop_rows") && Boolean(step.lines);

/**
 * Swap or drop lines: they join the step of this kind, and leave the other one. So that no line is
 * swapped twice, or swapped and dropped. A split stays last. More lines than one step may name go into
 * several steps.
 */
export function offerLines(fileId: string, kind: LineStep["step"], lines: readonly number[]) {
  const joined = new Set(lines);
  const kept: RecipeStep[] = [];
  for (const step of offeredSteps(fileId)) {
    if (!isLineStep(step)) kept.push(step);
    else if (step.step === kind) for (const line of step.lines) joined.add(line);
    else {
      const others = step.lines.filter((line) => !joined.has(line));
      if (others.length > 0) kept.push({ ...step, lines: others });
    }
  }
  const sorted = [...joined].sort((one, other) => one - other);
  const made: LineStep[] = [];
  for (let at = 0; at < sorted.length; at += LINES_OF_A_STEP)
    made.push({ step: kind, lines: sorted.slice(at, at + LINES_OF_A_STEP) });
  const end = kept.findIndex(({ step }) => step === "split");
  put(fileId, kept.toSpliced(end < 0 ? kept.length : end, 0, ...made));
}

/** Take lines back out of the steps that swap or drop them. */
export const withdrawLines = (fileId: string, lines: readonly number[]) =>
  put(
    fileId,
    offeredSteps(fileId).flatMap((step): RecipeStep[] => {
      if (!isLineStep(step)) return [step];
      const rest = step.lines.filter((line) => !lines.includes(line));
      return rest.length > 0 ? [{ ...step, lines: rest }] : [];
    }),
  );

/** What the steps do with single lines. */
export const lineSteps = (steps: readonly RecipeStep[]): Map<number, LineStep["step"]> =>
  new Map(steps.filter(isLineStep).flatMap(({ step, lines }) => lines.map((line) => [line, step])));

/** Take all steps back, once the recipe was applied. */
export const clearSteps = (fileId: string) => put(fileId, NONE);

export const hasStep = (steps: readonly RecipeStep[], step: RecipeStep) =>
  steps.some((each) => isSame(each, step));

function put(fileId: string, steps: readonly RecipeStep[]) {
  drafts.set(fileId, steps);
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useOfferedSteps = (fileId: string) =>
  useSyncExternalStore(subscribe, () => offeredSteps(fileId));
