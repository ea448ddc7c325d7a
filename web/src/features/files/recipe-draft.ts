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
