/**
 * Uploads in parts, as this browser remembers them: after a reload, the parts that have arrived are
 * not sent again. One entry of the local storage for each upload, so that tabs don't overwrite each
 * other's.
 */

export interface Remembered {
  uploadId: string;
  name: string;
  size: number;
  lastModified: number;
  columns: Record<string, string> | null;
  partBytes: number;
  /** The ids of the parts that have arrived, from the file's beginning on. */
  partIds: string[];
  /** When the server removes the parts, in Unix seconds. */
  expiresAt: number;
  /** When a tab last worked on it, in milliseconds; 0 once that tab was closed. */
  at: number;
}

const PREFIX = "upload:";
/** A tab renews its entries more often than this. */
const STALE_MS = 20_000;
const mine = new Set<string>();
const listeners = new Set<() => void>();

/** What names a file in a browser, which does not tell where a file lies. */
type Identity = Pick<Remembered, "name" | "size" | "lastModified">;

export const isSameFile = (one: Identity, other: Identity) =>
  one.name === other.name && one.size === other.size && one.lastModified === other.lastModified;

/** The entry of a file that is to be read with these columns, unless its upload has expired. */
export function recall(file: Identity, columns: Remembered["columns"]): Remembered | null {
  const asText = JSON.stringify(columns);
  const isIt = (entry: Remembered) =>
    isSameFile(entry, file) && JSON.stringify(entry.columns) === asText;
  return entries().find(isIt) ?? null;
}

export function remember(entry: Remembered) {
  mine.add(entry.uploadId);
  write({ ...entry, at: Date.now() });
}

export function forget(uploadId: string) {
  mine.delete(uploadId);
  attempt(() => localStorage.removeItem(PREFIX + uploadId));
  tell();
}

/** Mark the uploads of this tab as worked on, or, once it closes, as stopped. */
export function renew(at = Date.now()) {
  for (const entry of entries()) if (mine.has(entry.uploadId)) write({ ...entry, at });
}

/** Uploads that no tab works on. Those of this tab are not among them. */
export const stopped = (now = Date.now()): Remembered[] =>
  entries(now).filter(({ uploadId, at }) => !mine.has(uploadId) && now - at > STALE_MS);

/** Call back when entries change, here or in another tab. */
export function subscribeToMemory(listener: () => void) {
  listeners.add(listener);
  window.addEventListener("storage", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("storage", listener);
  };
}

function entries(now = Date.now()): Remembered[] {
  const found: Remembered[] = [];
  for (const key of attempt(() => Object.keys(localStorage)) ?? []) {
    if (!key.startsWith(PREFIX)) continue;
    const entry = attempt<Remembered>(() => JSON.parse(localStorage.getItem(key) ?? ""));
    if (entry && Array.isArray(entry.partIds) && entry.expiresAt * 1000 > now) found.push(entry);
    else attempt(() => localStorage.removeItem(key));
  }
  return found.sort((one, other) => one.uploadId.localeCompare(other.uploadId));
}

function write(entry: Remembered) {
  attempt(() => localStorage.setItem(PREFIX + entry.uploadId, JSON.stringify(entry)));
  tell();
}

function tell() {
  for (const listener of listeners) listener();
}

/** The local storage may be full or forbidden: an upload then works, but is not remembered. */
function attempt<Value>(call: () => Value): Value | null {
  try {
    return call();
  } catch {
    return null;
  }
}
