import { expect, test } from "vitest";
import { boardsOf, votesBetween, withFirst } from "@/features/evaluations/leaderboard";
import type { Evaluation } from "@/features/evaluations/objects";

const made = (id: string, model: string, change: Partial<Evaluation> = {}) =>
  ({
    id,
    status: "succeeded",
    suite: { name: "ifeval", title: "IFEval", data: "file-1" },
    limit: null,
    seed: 0,
    model: { model, weights_sha256: null },
    baseline: null,
    judge: null,
    ...change,
  }) as Evaluation;

const named = (id: string) => (id === "file-1" ? "prompts.jsonl" : id);

test("a board holds what asked the same, the newest of each model", () => {
  const boards = boardsOf(
    [
      made("e5", "tuned"),
      made("e4", "tuned", { limit: 20, seed: 1 }),
      made("e3", "base", { status: "failed" }),
      made("e2", "base"),
      made("e1", "tuned"),
    ],
    named,
  );
  expect(boards.map(({ title }) => title)).toEqual([
    "IFEval: prompts.jsonl",
    "IFEval: prompts.jsonl, 20 prompts drawn with seed 1",
  ]);
  expect(boards[0]?.evaluations.map(({ id }) => id)).toEqual(["e5", "e2"]);
});

test("new weights under an old name are another model", () => {
  const at = (sha: string) => ({ model: { model: "tuned", weights_sha256: sha } }) as Evaluation;
  const [board] = boardsOf([made("e2", "tuned", at("b")), made("e1", "tuned", at("a"))], named);
  expect(board?.evaluations).toHaveLength(2);
});

test("the chosen one comes first, and an unknown one changes nothing", () => {
  expect(withFirst(["a", "b", "c"], "c")).toEqual(["c", "a", "b"]);
  expect(withFirst(["a", "b"], "x")).toEqual(["a", "b"]);
  expect(withFirst(["a", "b"], undefined)).toEqual(["a", "b"]);
});

test("votes count for a model whichever side it was on", () => {
  const vote = (a: string, b: string, choice: "a" | "b" | "tie" | "both_bad") => ({
    sides: [{ model: a }, { model: b }] as never,
    choice,
  });
  const votes = [
    vote("tuned", "base", "a"),
    vote("base", "tuned", "b"),
    vote("base", "tuned", "a"),
    vote("tuned", "base", "both_bad"),
    vote("tuned", "other", "a"),
    vote("base", "base", "a"),
  ];
  expect(votesBetween(votes, "tuned", "base")).toEqual({ wins: 2, draws: 1, losses: 1 });
  expect(votesBetween(votes, "base", "base")).toEqual({ wins: 0, draws: 0, losses: 0 });
});
