/** The step under the cross-hair, shared by the charts of a page. */
import { useSyncExternalStore } from "react";

export type Cursor = {
  get: () => number | null;
  set: (step: number | null) => void;
  subscribe: (changed: () => void) => () => void;
};

export function createCursor(): Cursor {
  let step: number | null = null;
  const listeners = new Set<() => void>();
  return {
    get: () => step,
    set: (next) => {
      if (next === step) return;
      step = next;
      for (const changed of listeners) changed();
    },
    subscribe: (changed) => {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
  };
}

export function useCursor(cursor: Cursor): number | null {
  return useSyncExternalStore(cursor.subscribe, cursor.get);
}
