import { Link } from "@tanstack/react-router";

const ROOMS = [
  { to: "/evaluations", name: "All evaluations" },
  { to: "/evaluations/leaderboard", name: "Leaderboard" },
  { to: "/evaluations/judges", name: "Judges" },
] as const;

/** The pages about evaluations, beside each other. */
export function Rooms() {
  return (
    <nav
      aria-label="Pages about evaluations"
      className="-mt-1 flex gap-4 overflow-x-auto border-b border-line"
    >
      {ROOMS.map(({ to, name }) => (
        <Link
          key={to}
          to={to}
          activeOptions={{ exact: true, includeSearch: false }}
          className="min-h-9 border-b-2 border-transparent px-0.5 py-2 whitespace-nowrap text-muted hover:text-ink aria-[current=page]:border-accent aria-[current=page]:text-ink"
        >
          {name}
        </Link>
      ))}
    </nav>
  );
}
