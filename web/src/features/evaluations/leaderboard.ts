/** Which evaluations can stand on one leaderboard, and what people voted of their models. */
import type { Evaluation } from "@/features/evaluations/objects";
import type { Schema } from "@/lib/api";

/** The API compares at most so many. */
export const MOST = 10;

export type Board = { key: string; title: string; evaluations: Evaluation[] };

/**
 * The succeeded evaluations that asked the same: one suite on one file, as many prompts of it. Of a
 * model, the newest evaluation stands for it. Boards with more models come first.
 */
export function boardsOf(evaluations: readonly Evaluation[], fileName: (id: string) => string) {
  const boards = new Map<string, Board>();
  for (const evaluation of evaluations) {
    if (evaluation.status !== "succeeded") continue;
    const { suite, limit, seed } = evaluation;
    const drawn = limit === null ? "" : `, ${limit} prompts drawn with seed ${seed}`;
    const key = [suite.name, suite.data, limit === null ? "" : `${limit}-${seed}`].join(" ");
    const board = boards.get(key) ?? {
      key,
      title: `${suite.title}: ${fileName(suite.data)}${drawn}`,
      evaluations: [],
    };
    if (!board.evaluations.some((known) => isSame(known, evaluation)))
      board.evaluations.push(evaluation);
    boards.set(key, board);
  }
  return [...boards.values()].sort((a, b) => b.evaluations.length - a.evaluations.length);
}

/** Whether two evaluations are of one model, with one judge, against one baseline. */
function isSame(one: Evaluation, other: Evaluation): boolean {
  const identity = ({ model, baseline, judge }: Evaluation) =>
    [model.model, model.weights_sha256, judge?.id, baseline?.model, baseline?.base_url].join(" ");
  return identity(one) === identity(other);
}

/** The ids with the one that the others are compared with first. */
export function withFirst(ids: readonly string[], first: string | undefined): string[] {
  if (first === undefined || !ids.includes(first)) return [...ids];
  return [first, ...ids.filter((id) => id !== first)];
}

export type Votes = { wins: number; draws: number; losses: number };

type Voted = Pick<Schema<"ComparisonObject">, "sides" | "choice">;

/** How people voted on answers of `model` beside answers of `other`. */
export function votesBetween(votes: readonly Voted[], model: string, other: string): Votes {
  const found: Votes = { wins: 0, draws: 0, losses: 0 };
  for (const { sides, choice } of votes) {
    if (sides.length !== 2 || model === other) continue;
    const [a, b] = sides.map((side) => side.model);
    const isFirst = a === model && b === other;
    if (!isFirst && !(a === other && b === model)) continue;
    if (choice === "a" || choice === "b") {
      if ((choice === "a") === isFirst) found.wins += 1;
      else found.losses += 1;
    } else if (choice !== null) found.draws += 1;
  }
  return found;
}
