/** The keyboard shortcut of a button; hidden on devices without a keyboard. */
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
