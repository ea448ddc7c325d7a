import { expect, test } from "vitest";
import { becomesText, CHOICES, leftOut, named, type VoteCounts } from "@/lib/vote-words";

const NONE: VoteCounts = {
  votes: 0,
  pairs: 0,
  edited: 0,
  ties: 0,
  both_bad: 0,
  not_a_pair: 0,
  cut_off: 0,
  held_out: 0,
  contradictions: 0,
  repeated: 0,
};

test("only the reasons that left a vote out are named", () => {
  const found = leftOut({ ...NONE, votes: 37, pairs: 31, edited: 2, ties: 4, contradictions: 2 });
  expect(found.map(({ name, count }) => [name, count])).toEqual([
    ["ties", 4],
    ["contradictions", 2],
  ]);
  expect(found[1]?.why).toContain("Contradictions");
});

test("every vote that is no pair has a reason", () => {
  const all = Object.keys(NONE).filter((name) => !["votes", "pairs", "edited"].includes(name));
  const counts = { ...NONE, ...Object.fromEntries(all.map((name) => [name, 1])) };
  expect(leftOut(counts).map(({ name }) => name)).toEqual(all);
  expect(leftOut(counts).every(({ why }) => why !== "")).toBe(true);
});

test("what votes become is one sentence", () => {
  expect(becomesText({ ...NONE, votes: 1, pairs: 1 })).toBe("1 vote becomes 1 pair.");
  expect(becomesText({ ...NONE, votes: 1, pairs: 1, edited: 1 })).toBe(
    "1 vote becomes 1 pair, with an edited answer.",
  );
  expect(becomesText({ ...NONE, votes: 1200, pairs: 31, edited: 4 })).toBe(
    "1,200 votes become 31 pairs, 4 of them with an edited answer.",
  );
});

test("a link that names an unknown choice names none", () => {
  expect(named(CHOICES, "both_bad")).toBe("both_bad");
  for (const text of ["c", "toString", "", undefined]) expect(named(CHOICES, text)).toBeUndefined();
});
