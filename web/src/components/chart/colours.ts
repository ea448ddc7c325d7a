/** The page's colour tokens in the form that a canvas needs. */
const known = new Map<string, string>();
const listeners = new Set<() => void>();

export function colour(token: string, alpha = 1): string {
  let hex = known.get(token);
  if (hex === undefined) {
    hex = getComputedStyle(document.documentElement).getPropertyValue(token).trim();
    known.set(token, hex);
  }
  if (alpha === 1) return hex;
  const part = (start: number) => Number.parseInt(hex.slice(start, start + 2), 16);
  return `rgba(${part(1)}, ${part(3)}, ${part(5)}, ${alpha})`;
}

/** Call `changed` after every change of theme; returns a function that stops this. */
export function onTheme(changed: () => void): () => void {
  if (listeners.size === 0) observer.observe(document.documentElement, { attributeFilter });
  listeners.add(changed);
  return () => {
    listeners.delete(changed);
    if (listeners.size === 0) observer.disconnect();
  };
}

const attributeFilter = ["data-theme"];
const observer = new MutationObserver(() => {
  known.clear();
  for (const changed of listeners) changed();
});
