/**
 * Keyboard shortcuts. Each is described where it is bound, so the list that `?` shows holds every key
 * of the page, and no key that does nothing now.
 */
import { type RefObject, useEffect, useRef } from "react";

/** What a key does, as the list says it, and the action itself. */
export type Binding = { does: string; act: () => void };
export type Bindings = Readonly<Record<string, Binding>>;
/** Keys that an element handles itself, such as the arrow keys of a chart: only described. */
export type Notes = Readonly<Record<string, string>>;
export type Described = { key: string; does: string };

/** The keys of all mounted components, in the order in which they were mounted. */
const known = new Set<RefObject<Notes>>();

/** Single-key shortcuts of a page; disabled while the user types, and never with a modifier. */
export function useKeys(bindings: Bindings) {
  const latest = useRef(bindings);
  latest.current = bindings;
  useKeyNotes(
    Object.fromEntries(Object.entries(bindings).map(([key, binding]) => [key, binding.does])),
  );
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (isTyping(event.target)) return;
      const binding = latest.current[event.key];
      if (!binding) return;
      event.preventDefault();
      binding.act();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}

/** Describes keys that the component's own element handles. */
export function useKeyNotes(notes: Notes) {
  const latest = useRef(notes);
  latest.current = notes;
  useEffect(() => {
    known.add(latest);
    return () => {
      known.delete(latest);
    };
  }, []);
}

/** The keys that work now, each once. Several charts of a page have the same keys. */
export function describedKeys(): Described[] {
  const found = new Map<string, Described>();
  for (const { current } of known)
    for (const [key, does] of Object.entries(current)) found.set(`${key} ${does}`, { key, does });
  return [...found.values()];
}

// A dialog that was just closed may keep the focus until it is removed: then keys work again.
const DIALOG = "dialog[open], [role=dialog]:not(dialog), [role=alertdialog]:not(dialog)";

export const isInDialog = (target: EventTarget | null) =>
  target instanceof Element && target.closest(DIALOG) !== null;

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || isInDialog(target)) return true;
  const isText = target instanceof HTMLInputElement && !["checkbox", "radio"].includes(target.type);
  return isText || target.matches("textarea, select");
}
