import { expect, test } from "vitest";
import {
  agreementText,
  earlyText,
  fromWinner,
  groupsOf,
  type Pair,
  sideText,
} from "@/features/votes/ranking";

const share = (value: number, low: number | null = null, high: number | null = null) => ({
  value,
  low,
  high,
  n: 44,
});
const PAIR: Pair = {
  model: "a",
  other: "b",
  win_rate: share(0.32, 0.2, 0.46),
  at_equal_length: share(0.4, null, 0.5),
  early: false,
  wins: 12,
  draws: 4,
  losses: 28,
};

test("a pair is shown from the model that wins, with its interval turned", () => {
  const turned = fromWinner(PAIR);
  expect([turned.model, turned.other, turned.wins, turned.draws, turned.losses]).toEqual([
    "b",
    "a",
    28,
    4,
    12,
  ]);
  expect(turned.win_rate?.value).toBeCloseTo(0.68);
  expect(turned.win_rate?.low).toBeCloseTo(0.54);
  expect(turned.win_rate?.high).toBeCloseTo(0.8);
  expect(turned.at_equal_length).toMatchObject({ low: 0.5, high: null });
  expect(fromWinner(turned)).toBe(turned);
  const unknown = { ...PAIR, win_rate: null };
  expect(fromWinner(unknown)).toBe(unknown);
});

test("models are put together by their group, in the order they came", () => {
  const model = (name: string, group: number) => ({ model: name, group }) as never;
  const groups = groupsOf([model("a", 0), model("b", 1), model("c", 0)]);
  expect(groups.map((each) => each.map((one) => one.model))).toEqual([["a", "c"], ["b"]]);
});

test("few votes are called too early", () => {
  const few = { wins: 2, draws: 1, losses: 0 };
  expect(earlyText({ ...few, early: true }, 20)).toBe("too early: 3 of 20 votes");
  expect(earlyText({ ...few, early: false }, 20)).toBeNull();
});

test("a side is preferred only if its interval leaves one half out", () => {
  expect(sideText(share(0.52, 0.44, 0.6))).toEqual({
    text: "Between equal models, the answer on the left wins 52% (44% to 60%): no side is preferred.",
    isWarning: false,
  });
  expect(sideText(share(0.6, 0.55, 0.7))).toMatchObject({ isWarning: true });
  expect(sideText(share(0.6, 0.55, 0.7))?.text).toContain("prefer the answer on the left");
  expect(sideText(share(0.4, 0.3, 0.45))?.text).toContain("prefer the answer on the right");
  expect(sideText(share(0.6))).toBeNull();
  expect(sideText(null)).toBeNull();
});

test("how often voters agree is said with its interval", () => {
  expect(agreementText(null)).toBeNull();
  expect(agreementText(share(0.75, 0.5, 1))).toBe(
    "Two voters said the same of the same answers in 75% (50% to 100%) of the cases, on 44 prompts. A coin would agree in half.",
  );
});
