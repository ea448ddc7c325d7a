/** What votes say of models, in words. */
import type { Schema } from "@/lib/api";
import { number, percent } from "@/lib/format";
import { votesText } from "@/lib/vote-words";

type Measured = Schema<"Measured">;
type Model = Schema<"RankedModel">;
export type Pair = Schema<"RankedPair">;
type Outcomes = { wins: number; draws: number; losses: number };

/** The models of each group, the strongest first. Models of two groups were never compared. */
export function groupsOf(models: readonly Model[]): Model[][] {
  const groups = new Map<number, Model[]>();
  for (const model of models) groups.set(model.group, [...(groups.get(model.group) ?? []), model]);
  return [...groups.values()];
}

/** How many votes are on a model, or on a pair of them. */
export const votesOf = ({ wins, draws, losses }: Outcomes) => wins + draws + losses;

/** `18 won, 2 drawn, 6 lost`. */
export const outcomesText = ({ wins, draws, losses }: Outcomes) =>
  `${number(wins)} won, ${number(draws)} drawn, ${number(losses)} lost`;

/** `too early: 3 of 20 votes`; null if there are enough. */
export function earlyText(of: Outcomes & { early: boolean }, enough: number): string | null {
  return of.early ? `too early: ${number(votesOf(of))} of ${votesText(enough)}` : null;
}

/** `54% to 80%`; null if there is none, as for a single prompt. */
export function intervalText({ low, high }: Measured): string | null {
  return low == null || high == null ? null : `${percent(low)} to ${percent(high)}`;
}

/** A pair as seen from the model that wins more often. */
export function fromWinner(pair: Pair): Pair {
  if (pair.win_rate === null || pair.win_rate.value >= 0.5) return pair;
  return {
    ...pair,
    model: pair.other,
    other: pair.model,
    win_rate: turned(pair.win_rate),
    at_equal_length: pair.at_equal_length && turned(pair.at_equal_length),
    wins: pair.losses,
    losses: pair.wins,
  };
}

/** A share as seen from the other model. */
function turned({ value, low, high, n }: Measured): Measured {
  return {
    value: 1 - value,
    low: high == null ? null : 1 - high,
    high: low == null ? null : 1 - low,
    n,
  };
}

/** How often two voters agree. Null if no two voters saw the same answers. */
export function agreementText(same: Measured | null): string | null {
  if (!same) return null;
  const interval = intervalText(same);
  const where = `${number(same.n)} ${same.n === 1 ? "prompt" : "prompts"}`;
  return `Two voters said the same of the same answers in ${percent(same.value)}${interval ? ` (${interval})` : ""} of the cases, on ${where}. A coin would agree in half.`;
}

export type SideText = { text: string; isWarning: boolean };

/** Whether voters prefer a side whatever the models are. Null if it isn't known. */
export function sideText(side: Measured | null): SideText | null {
  if (!side) return null;
  const interval = intervalText(side);
  if (!interval || side.low == null || side.high == null) return null;
  const start = `Between equal models, the answer on the left wins ${percent(side.value)} (${interval})`;
  const preferred = side.low > 0.5 ? "left" : side.high < 0.5 ? "right" : null;
  return preferred
    ? {
        text: `${start}: voters prefer the answer on the ${preferred}. The ranking takes this into account, but a file of pairs does not.`,
        isWarning: true,
      }
    : { text: `${start}: no side is preferred.`, isWarning: false };
}
