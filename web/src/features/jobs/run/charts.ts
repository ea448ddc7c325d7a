/** The charts of a run: the series of each chart and their style. */
import type { ChartSpec } from "@/components/chart/chart";
import type { Point } from "@/components/chart/lines";
import { both, DASH, dots, type Get, trace } from "@/features/jobs/run/lines";
import { onPolicy } from "@/features/jobs/run/on-policy-charts";
import type { Key, Series } from "@/features/jobs/series";
import { number } from "@/lib/format";

export function chartsOf(
  series: Series,
  method: string,
  settings: Record<string, unknown>,
  heldOut: number | null,
): ChartSpec[] {
  const get = (key: Key) => series[key] ?? [];
  return [
    ...onPolicy(get, settings),
    divergence(get),
    rewards(get),
    logOdds(get),
    rewardMargin(get),
    anatomy(get, method, settings),
    accuracy(get, heldOut),
    margins(get, heldOut),
    gradients(get, settings.max_grad_norm),
    speed(get),
  ].filter((chart) => chart.lines.some((line) => line.points.length > 0));
}

function divergence(get: Get): ChartSpec {
  return {
    id: "divergence",
    title: "Divergence",
    about: "Mean log-prob a token of each answer. ORPO pushes the two apart; the gap is shaded.",
    ...ofBothAnswers(get, "logps"),
  };
}

/** The lines of the two answers of a pair, and the gap between them. */
function ofBothAnswers(get: Get, name: "logps" | "reward"): Pick<ChartSpec, "lines" | "ribbons"> {
  const chosen = { colour: "--chosen" };
  const rejected = { colour: "--rejected", dash: DASH };
  return {
    lines: [
      trace("chosen", "chosen", get(`train:${name}/chosen`), chosen),
      trace("rejected", "rejected", get(`train:${name}/rejected`), rejected),
      dots("held-chosen", "held-out chosen", get(`held_out:${name}/chosen`), chosen),
      dots("held-rejected", "held-out rejected", get(`held_out:${name}/rejected`), rejected),
    ],
    ribbons: [{ from: "chosen", to: "rejected", colour: "--accent" }],
  };
}

/** Of a reward model, in place of the log-probs. */
function rewards(get: Get): ChartSpec {
  return {
    id: "rewards",
    title: "Rewards",
    about: "Mean reward of each answer. Only their difference has a meaning; the gap is shaded.",
    ...ofBothAnswers(get, "reward"),
  };
}

function rewardMargin(get: Get): ChartSpec {
  return {
    id: "reward-margin",
    title: "Reward margin",
    about: "Reward of the chosen − reward of the rejected answer: the log odds that it is better.",
    lines: both(get, "reward/margin"),
    levels: [{ y: 0, label: "no preference" }],
  };
}

function logOdds(get: Get): ChartSpec {
  return {
    id: "log-odds",
    title: "Log odds ratio",
    about: "log odds(chosen) − log odds(rejected). Above 0 the model prefers the chosen answer.",
    lines: both(get, "log_odds_ratio"),
    levels: [{ y: 0, label: "no preference" }],
  };
}

const TERMS: Record<string, string> = {
  orpo: "λ · L_OR",
  probability_ratio: "λ · L_PR",
  dpo: "L_DPO",
  simpo: "L_SimPO",
  reward: "L_BT",
};

function anatomy(get: Get, method: string, settings: Record<string, unknown>): ChartSpec {
  const term = TERMS[method];
  const usual = method === "reward" ? 0 : 1;
  const weight = typeof settings.nll_weight === "number" ? settings.nll_weight : usual;
  const nll = weight === 1 ? "NLL" : `${weight} · NLL`;
  const where = settings.lambda === undefined ? "" : `, with λ = ${settings.lambda}`;
  return {
    id: "anatomy",
    title: "Loss anatomy",
    about: term
      ? `Loss = ${weight === 0 ? "" : `${nll} + `}${term}${where}. What each term adds.`
      : "The likelihood loss of the answers, in nats a token.",
    lines: [
      trace("nll", nll, weight === 0 ? [] : get("train:loss/nll").map((at) => scale(at, weight)), {
        colour: "--series-3",
        fill: true,
      }),
      trace("term", term ?? "", term ? get("train:loss/preference") : [], {
        colour: "--series-4",
        dash: DASH,
        fill: true,
      }),
      // On own answers, the held-out loss is a reward, which has a chart of its own.
      dots("held", "held-out loss", get("train:kl").length > 0 ? [] : get("held_out:loss"), {
        colour: "--series-5",
        dash: [2, 3],
      }),
    ],
  };
}

const scale = ({ y, low, high, ...where }: Point, by: number): Point => ({
  ...where,
  y: y === null ? null : y * by,
  low: low === null ? null : low * by,
  high: high === null ? null : high * by,
});

/** Points whose interval comes from two other series. */
export function within(points: Point[], low: Point[], high: Point[]): Point[] {
  const [lows, highs] = [low, high].map((edge) => new Map(edge.map(({ x, y }) => [x, y])));
  return points.map((point) => ({
    ...point,
    low: lows?.get(point.x) ?? null,
    high: highs?.get(point.x) ?? null,
  }));
}

/** `the 50 held-out pairs`: counted, if their number is known. */
const heldOutPairs = (count: number | null) =>
  count === null ? "held-out pairs" : `the ${number(count, 0)} held-out pairs`;

function accuracy(get: Get, heldOut: number | null): ChartSpec {
  const points = get("held_out:accuracy");
  const interval = within(points, get("held_out:accuracy/low"), get("held_out:accuracy/high"));
  return {
    id: "accuracy",
    title: "Held-out accuracy",
    about: `Share of ${heldOutPairs(heldOut)} whose chosen answer is preferred, with its 95% interval.`,
    lines: [
      dots("accuracy", "held-out", points, { colour: "--chosen" }),
      { ...dots("interval", "95% interval", interval, { colour: "--chosen" }), kind: "band" },
    ],
    levels: [{ y: 0.5, label: "a coin" }],
    isShare: true,
  };
}

function margins(get: Get, heldOut: number | null): ChartSpec {
  type Quantile = "p05" | "p25" | "p50" | "p75" | "p95";
  const quantile = (name: Quantile) => get(`held_out:margin/${name}`);
  const band = (low: Quantile, high: Quantile) =>
    within(quantile("p50"), quantile(low), quantile(high));
  const look = { colour: "--series-4" };
  const of = get("held_out:reward/margin").length > 0 ? "reward margin" : "log odds ratio";
  return {
    id: "margins",
    title: "Margins of held-out pairs",
    about: `How the ${of} spreads over ${heldOutPairs(heldOut)}: the median, the middle half, and 90%.`,
    lines: [
      dots("median", "median", quantile("p50"), look),
      { ...dots("half", "middle half", band("p25", "p75"), look), kind: "band" },
      { ...dots("most", "90%", band("p05", "p95"), look), kind: "band" },
    ],
    levels: [{ y: 0, label: "no preference" }],
  };
}

function gradients(get: Get, clip: unknown): ChartSpec {
  const points = get("train:grad_norm");
  // The level is drawn only near the values; a distant one would flatten the chart.
  const top = Math.max(...points.map((point) => point.high ?? 0), 0);
  const near = typeof clip === "number" && clip < top * 2;
  return {
    id: "gradients",
    title: "Gradient norm",
    about: "Before clipping. A steady climb warns that the run is about to diverge.",
    lines: [trace("norm", "norm", points, { colour: "--series-5" })],
    levels: near ? [{ y: clip as number, label: "clipped above" }] : [],
  };
}

function speed(get: Get): ChartSpec {
  return {
    id: "speed",
    title: "Speed",
    about: "Tokens a second, over all processes.",
    lines: [trace("tokens", "tokens/s", get("train:tokens_per_s"), { colour: "--accent" })],
    read: (value) => number(value, 0),
  };
}
