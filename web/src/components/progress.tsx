/** A progress bar; without a share it shows only that work continues. */
export function Progress({ share, label }: { share: number | null; label: string }) {
  const width = `${100 * (share ?? 0)}%`;
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={share === null ? undefined : Math.round(100 * share)}
      className="h-1.5 w-full overflow-hidden rounded-full bg-line"
    >
      <div className="h-full rounded-full bg-accent" style={{ width }} />
    </div>
  );
}
