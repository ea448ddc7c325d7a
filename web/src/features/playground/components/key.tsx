/** The key that does the same; not shown where there is no keyboard to press it on. */
export function Key({ name }: { name: string }) {
  return (
    <span
      aria-hidden="true"
      className="hidden rounded-sm border border-line bg-bg px-1 font-mono text-xs text-muted md:inline"
    >
      {name}
    </span>
  );
}
