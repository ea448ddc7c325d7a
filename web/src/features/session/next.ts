export const HOME = "/";

/**
 * Where to go after signing in: a path of this page, or Home. A link may hold any text, so a
 * path that a browser could read as another host is ignored.
 */
export function safeNext(next: string | undefined): string {
  if (!next?.startsWith("/") || !isPath(next)) return HOME;
  const { origin, pathname, search, hash } = new URL(next, location.origin);
  if (origin !== location.origin || !isPath(pathname) || pathname === "/sign-in") return HOME;
  return pathname + search + hash;
}

/** Browsers read `\` as `/` and skip tabs and line ends, so none of them may stand in it. */
function isPath(text: string): boolean {
  return !text.startsWith("//") && !/[\\\p{Cc}]/u.test(text);
}
