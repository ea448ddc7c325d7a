// Chromium draws a bar with a set size in green, whatever the accent colour is.
const barClass =
  "block h-2 w-full appearance-none overflow-hidden rounded-md border border-line bg-bg " +
  "[&::-moz-progress-bar]:bg-accent [&::-webkit-progress-bar]:bg-bg [&::-webkit-progress-value]:bg-accent";

/** A bar that shows a share from 0 to 1. */
export const Bar = ({ label, share }: { label: string; share: number }) => (
  <progress aria-label={label} max={1} value={share} className={barClass} />
);
