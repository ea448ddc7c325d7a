export type Interval = { value: number; low?: number | null; high?: number | null };

const [WIDTH, HEIGHT, EDGE] = [140, 16, 5];

/** An interval on a scale that the rows of a table share; `level` is where nothing differs. */
export function IntervalBar(props: {
  estimate: Interval | null | undefined;
  domain: [number, number];
  level?: number;
  look?: "model" | "baseline";
}) {
  const { estimate, domain, level, look = "model" } = props;
  if (!estimate) return null;
  const [from, to] = domain;
  const x = (value: number) => {
    const share = to > from ? (value - from) / (to - from) : 0.5;
    return EDGE + Math.min(1, Math.max(0, share)) * (WIDTH - 2 * EDGE);
  };
  const stroke = look === "model" ? "var(--chosen)" : "var(--rejected)";
  const middle = HEIGHT / 2;
  return (
    <svg
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width={WIDTH}
      height={HEIGHT}
      aria-hidden="true"
      className="max-w-full"
    >
      <line x1={EDGE} x2={WIDTH - EDGE} y1={middle} y2={middle} stroke="var(--line)" />
      {level !== undefined && level >= from && level <= to && (
        <line x1={x(level)} x2={x(level)} y1={0} y2={HEIGHT} stroke="var(--muted)" />
      )}
      {estimate.low != null && estimate.high != null && (
        <line
          x1={x(estimate.low)}
          x2={x(estimate.high)}
          y1={middle}
          y2={middle}
          stroke={stroke}
          strokeWidth="3"
          strokeDasharray={look === "model" ? undefined : "4 2"}
        />
      )}
      <circle cx={x(estimate.value)} cy={middle} r="4" fill={stroke} />
    </svg>
  );
}

/** The range that holds all of the intervals and `level`; around one half, all shares. */
export function domainOf(
  estimates: readonly (Interval | null | undefined)[],
  level?: number,
): [number, number] {
  const ends = estimates.flatMap((each) =>
    each ? [each.value, each.low ?? each.value, each.high ?? each.value] : [],
  );
  if (level === 0.5) ends.push(0, 1);
  else if (level !== undefined) ends.push(level);
  if (ends.length === 0) return [0, 1];
  return [Math.min(...ends), Math.max(...ends)];
}
