/** The charts of a run that trains a policy on answers of its own: empty for all other runs. */
import type { ChartSpec } from "@/components/chart/chart";
import type { Point } from "@/components/chart/lines";
import { both, DASH, dots, type Get, trace } from "@/features/jobs/run/lines";

export function onPolicy(get: Get, settings: Record<string, unknown>): ChartSpec[] {
  return [rewards(get), distance(get, settings.kl_target), updates(get), lengths(get), time(get)];
}

function rewards(get: Get): ChartSpec {
  const band = (split: "train" | "held_out") =>
    around(get(`${split}:reward/mean`), get(`${split}:reward/sd`));
  return {
    id: "reward",
    title: "Reward",
    about: "Mean score of the policy's own answers, and one standard deviation around it.",
    lines: [
      trace("train", "training", get("train:reward/mean"), { colour: "--chosen" }),
      { ...trace("spread", "one sd", band("train"), { colour: "--chosen" }), kind: "band" },
      dots("held", "held-out", get("held_out:reward/mean"), { colour: "--series-4", dash: DASH }),
    ],
  };
}

/** Points with an interval of one standard deviation. */
export function around(points: Point[], sds: Point[]): Point[] {
  const sdOf = new Map(sds.map(({ x, y }) => [x, y]));
  return points.map(({ x, y }) => {
    const sd = sdOf.get(x) ?? null;
    const known = y !== null && sd !== null;
    return { x, y, low: known ? y - sd : null, high: known ? y + sd : null };
  });
}

function distance(get: Get, target: unknown): ChartSpec {
  return {
    id: "kl",
    title: "Distance from the base",
    about: "KL divergence of an answer in nats. The penalty's weight is adapted to the target.",
    lines: both(get, "kl"),
    levels: typeof target === "number" ? [{ y: target, label: "target" }] : [],
  };
}

function updates(get: Get): ChartSpec {
  return {
    id: "updates",
    title: "Updates",
    about:
      "Losses of the policy and of the value head, and the share of tokens whose update was clipped.",
    lines: [
      trace("policy", "policy loss", get("train:loss/policy"), { colour: "--series-3" }),
      trace("value", "value loss", get("train:loss/value"), { colour: "--series-4", dash: DASH }),
      trace("clipped", "clipped share", get("train:clip_share"), { colour: "--series-5" }),
    ],
  };
}

function lengths(get: Get): ChartSpec {
  return {
    id: "answers",
    title: "Answer length",
    about: "Mean length of the policy's own answers, in tokens.",
    lines: both(get, "lengths/answer", "--accent"),
  };
}

function time(get: Get): ChartSpec {
  return {
    id: "time",
    title: "Where the time goes",
    about: "Shares of a step: answering prompts, scoring the answers, and updating the weights.",
    lines: [
      trace("generation", "generation", get("train:share/generation"), { colour: "--series-3" }),
      trace("scoring", "scoring", get("train:share/scoring"), { colour: "--series-4", dash: DASH }),
      trace("update", "update", get("train:share/update"), { colour: "--series-5" }),
    ],
    isShare: true,
  };
}
