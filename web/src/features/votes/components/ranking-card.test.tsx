import { render, screen, within } from "@testing-library/react";
import type { ReactNode } from "react";
import { expect, test, vi } from "vitest";
import type { Ranking } from "@/features/votes/api";
import { RankingCard } from "@/features/votes/components/ranking-card";

vi.mock("@tanstack/react-router", () => ({
  Link: (props: { to: string; search: Record<string, string>; children: ReactNode }) => (
    <a href={`${props.to}?${new URLSearchParams(props.search)}`}>{props.children}</a>
  ),
}));
const share = (value: number) => ({ value, low: value - 0.1, high: value + 0.1, n: 40 });
const model = (name: string, group: number, value: number, wins: number, early = false) => ({
  model: name,
  group,
  strength: share(0),
  against_average: share(value),
  early,
  wins,
  draws: 1,
  losses: 10,
});
const RANKING: Ranking = {
  object: "votes.ranking",
  agreement: null,
  votes: 48,
  counted: 46,
  enough: 20,
  models: [model("tuned", 0, 0.7, 30), model("base", 0, 0.3, 12), model("other", 1, 0.5, 1, true)],
  pairs: [
    {
      model: "tuned",
      other: "base",
      win_rate: share(0.3),
      at_equal_length: null,
      early: false,
      wins: 10,
      draws: 4,
      losses: 30,
    },
  ],
  side: share(0.7),
};

test("models stand in their groups with intervals, and few votes are marked", () => {
  render(<RankingCard ranking={RANKING} isListNarrower={false} />);
  const first = within(screen.getByRole("table", { name: "Ranking, Group 1" }));
  expect(first.getAllByRole("row").map((row) => row.textContent)).toEqual([
    expect.stringContaining("Rank"),
    expect.stringMatching(/^1tuned70% \(60% to 80%\)30 won, 1 drawn, 10 lost$/),
    expect.stringMatching(/^2base30% /),
  ]);
  const other = within(screen.getByRole("table", { name: "Ranking, Group 2" }));
  expect(other.getByText("too early: 12 of 20 votes")).toBeVisible();
  expect(screen.getByText(/No vote connects/)).toBeVisible();
  expect(screen.getByText(/2 votes of 48 are not counted/)).toBeVisible();
});

test("a preferred side is a warning", () => {
  render(<RankingCard ranking={RANKING} isListNarrower={false} />);
  expect(screen.getByText(/voters prefer the answer on the left/)).toHaveClass("font-medium");
});

test("a pair is shown from its winner and leads to its votes", () => {
  render(<RankingCard ranking={RANKING} isListNarrower />);
  const pairs = within(screen.getByRole("table", { name: "Pairs of models" }));
  expect(pairs.getByText("70%")).toBeVisible();
  expect(pairs.getByRole("link")).toHaveAttribute("href", "/votes?model=base&against=tuned");
  expect(pairs.queryByText("At equal length")).toBeNull();
  expect(screen.getByText(/counts votes of all choices/)).toBeVisible();
});

test("of one group nothing is said about groups, and without models there is no ranking", () => {
  const { rerender } = render(
    <RankingCard ranking={{ ...RANKING, models: RANKING.models.slice(0, 2) }} isListNarrower />,
  );
  expect(screen.queryByText(/groups/)).toBeNull();
  rerender(<RankingCard ranking={{ ...RANKING, models: [], pairs: [] }} isListNarrower />);
  expect(screen.getByText(/nothing to rank/)).toBeVisible();
});
