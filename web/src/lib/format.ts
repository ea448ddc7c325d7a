/** Formats numbers, durations and times as text. Missing values become a dash. */
const DASH = "–";

export function number(value: number | null | undefined, digits = 2): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

/** With its sign, for differences and log odds. */
export function signed(value: number | null | undefined, digits = 2): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
}

export function percent(share: number | null | undefined, digits = 0): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return DASH;
  return `${(100 * share).toFixed(digits)}%`;
}

/** `4 s`, `3:20 min`, `2:05 h`: seconds in the unit that fits. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return DASH;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const two = (part: number) => String(part).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)} min`;
  return `${Math.floor(whole / 3600)}:${two(Math.floor((whole % 3600) / 60))} h`;
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(size: number | null | undefined): string {
  if (size === null || size === undefined) return DASH;
  let value = size;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toLocaleString("en", { maximumFractionDigits: unit === 0 || value >= 100 ? 0 : 1 })} ${UNITS[unit]}`;
}

/** When, relative to now: `just now`, `5 min ago`, `2 h ago`, else the date. Unix seconds. */
export function ago(unix: number | null | undefined, now = Date.now() / 1000): string {
  if (unix === null || unix === undefined) return DASH;
  const past = now - unix;
  if (past < 45) return "just now";
  if (past < 3600) return `${Math.round(past / 60)} min ago`;
  if (past < 86_400) return `${Math.round(past / 3600)} h ago`;
  return new Date(unix * 1000).toLocaleDateString("en-GB", {
    day: "numeric",
    month: "short",
    year: "numeric",
  });
}

export function moment(unix: number | null | undefined): string {
  if (unix === null || unix === undefined) return DASH;
  return new Date(unix * 1000).toLocaleString("en-GB", {
    dateStyle: "medium",
    timeStyle: "medium",
  });
}
