/**
 * The steps of a recipe that repair buttons have offered for a file, in the order of the clicks. The
 * panel of versions reads them; nothing is stored before the recipe is applied.
 */
import { useSyncExternalStore } from "react";
import type { Schema } from "@/lib/api";

export type RepairStep = Schema<"Repair">;

const NONE: readonly RepairStep[] = [];
const drafts = new Map<string, readonly RepairStep[]>();
const listeners = new Set<() => void>();

const isSame = (one: RepairStep, other: RepairStep) =>
  one.step === other.step && one.finding === other.finding;

/** The steps that are offered for a file. */
export const offeredSteps = (fileId: string) => drafts.get(fileId) ?? NONE;

/** Offer a step; one that is offered already is left where it is. */
export function offerStep(fileId: string, step: RepairStep) {
  const steps = offeredSteps(fileId);
  if (!steps.some((each) => isSame(each, step))) put(fileId, [...steps, step]);
}

/** Take a step back. */
export const withdrawStep = (fileId: string, step: RepairStep) =>
  put(
    fileId,
    offeredSteps(fileId).filter((each) => !isSame(each, step)),
  );

/** Take all steps back, once the recipe was applied. */
export const clearSteps = (fileId: string) => put(fileId, NONE);

export const hasStep = (steps: readonly RepairStep[], step: RepairStep) =>
  steps.some((each) => isSame(each, step));

function put(fileId: string, steps: readonly RepairStep[]) {
  drafts.set(fileId, steps);
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useOfferedSteps = (fileId: string) =>
  useSyncExternalStore(subscribe, () => offeredSteps(fileId));
