/** The one notice that the page shows for a while after an action, with a way to undo it. */
import { useSyncExternalStore } from "react";

export type Notice = { text: string; undo?: () => Promise<unknown> };

let current: Notice | null = null;
const listeners = new Set<() => void>();

/** Show a notice in the place of the one before; null takes it away. */
export function notify(notice: Notice | null) {
  current = notice;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useNotice = () => useSyncExternalStore(subscribe, () => current);
