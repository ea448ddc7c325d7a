/** Compares several runs: the same charts, and only the settings that differ. */
import type { ChartSpec } from "@/components/chart/chart";
import type { Line } from "@/components/chart/lines";
import type { Job } from "@/features/jobs/api";
import { heldOutOf, methodOf } from "@/features/jobs/job";
import type { Series } from "@/features/jobs/series";
import { duration, number, percent, signed } from "@/lib/format";
import { namesOf } from "@/lib/run-name";

export type Compared = { job: Job; series: Series };

const COLOURS = ["--chosen", "--rejected", "--series-3", "--series-4", "--series-5"];
const DASHES = [undefined, [7, 4], [2, 3]];

/** Fifteen different line styles; neighbours differ in both colour and dash. */
export const lookOf = (place: number) => ({
  colour: COLOURS[place % COLOURS.length] as string,
  dash: DASHES[place % DASHES.length],
});

const CHARTS: (Omit<ChartSpec, "lines"> & { key: string })[] = [
  {
    id: "log-odds",
    title: "Held-out log odds ratio",
    about: "How strongly the chosen answers are preferred.",
    key: "held_out:log_odds_ratio",
    levels: [{ y: 0, label: "no preference" }],
  },
  {
    id: "reward-margin",
    title: "Held-out reward margin",
    about: "Of reward models: reward of the chosen − reward of the rejected answer.",
    key: "held_out:reward/margin",
    levels: [{ y: 0, label: "no preference" }],
  },
  {
    id: "accuracy",
    title: "Held-out accuracy",
    about: "Share of held-out pairs whose chosen answer is preferred.",
    key: "held_out:accuracy",
    levels: [{ y: 0.5, label: "a coin" }],
    isShare: true,
  },
  {
    id: "held-loss",
    title: "Held-out NLL",
    about:
      "Likelihood loss of the chosen answers. Unlike the loss it can be compared across lambdas.",
    key: "held_out:loss/nll",
  },
  {
    id: "margin",
    title: "Training log odds ratio",
    about: "On the pairs that are trained.",
    key: "train:log_odds_ratio",
    levels: [{ y: 0, label: "no preference" }],
  },
  {
    id: "chosen",
    title: "Log-prob of chosen answers",
    about: "Mean a token, in training. It should not sink.",
    key: "train:logps/chosen",
  },
  {
    id: "rejected",
    title: "Log-prob of rejected answers",
    about: "Mean a token, in training.",
    key: "train:logps/rejected",
  },
  {
    id: "gradients",
    title: "Gradient norm",
    about: "Before clipping.",
    key: "train:grad_norm",
  },
  {
    id: "speed",
    title: "Speed",
    about: "Tokens a second, over all processes.",
    key: "train:tokens_per_s",
    read: (value) => number(value, 0),
  },
];

export const COMPARED_KEYS = [
  ...CHARTS.map((chart) => chart.key),
  "held_out:accuracy/low",
  "held_out:accuracy/high",
].join(",");

export function chartsOf(runs: readonly Compared[]): ChartSpec[] {
  const names = namesOf(runs.map(({ job }) => job));
  return CHARTS.map(({ key, ...chart }) => ({
    ...chart,
    lines: runs.map(
      ({ job, series }, place): Line => ({
        key: job.id,
        label: names[place] as string,
        kind: key.startsWith("held_out") ? "dots" : "trace",
        isQuiet: runs.length > 1,
        points: series[key] ?? [],
        ...lookOf(place),
      }),
    ),
  })).filter((chart) => chart.lines.some((line) => line.points.length > 0));
}

/** `ids`: what is behind the mark of each value. */
export type Row = { name: string; values: string[]; best?: number; ids?: (string | null)[] };

const FILES = { training_file: "Training file", validation_file: "Held-out pairs" };
const WORDS: Record<string, string> = { model: "Base model", method: "Method", seed: "Seed" };

/** The settings in which the runs differ; files have the names that `fileNames` holds by id. */
export function differences(
  jobs: readonly Job[],
  fileNames: ReadonlyMap<string, string> = new Map(),
): Row[] {
  const flat = jobs.map(
    (job): Record<string, unknown> => ({
      model: job.model,
      method: methodOf(job),
      seed: job.seed,
      ...job.hyperparameters,
    }),
  );
  const names = [...new Set(flat.flatMap(Object.keys))];
  const settings = names.map((name) => ({
    name: WORDS[name] ?? name,
    values: flat.map((values) => String(values[name] ?? "–")),
  }));
  const differing = (values: readonly unknown[]) => new Set(values).size > 1;
  return [
    ...Object.entries(FILES)
      .map(([field, name]) =>
        filesOf(
          name,
          jobs.map((job) => job[field as keyof typeof FILES]),
          fileNames,
        ),
      )
      .filter(({ ids }) => differing(ids)),
    ...settings.filter(({ values }) => differing(values)),
  ];
}

/** Files by their names; of two files with one name, the start of the id is added. */
function filesOf(
  name: string,
  ids: (string | null)[],
  fileNames: ReadonlyMap<string, string>,
): Required<Omit<Row, "best">> {
  const named = ids.map((id) =>
    id === null ? "of the training file" : (fileNames.get(id) ?? "a file"),
  );
  const values = named.map((value, i) => {
    const isShared = ids.some((id, j) => id !== ids[i] && named[j] === value);
    return isShared ? `${value} ${ids[i]?.replace(/^file-/, "").slice(0, 8) ?? ""}` : value;
  });
  return { name, values, ids };
}

/**
 * Whether all runs were measured on the same held-out pairs; otherwise none is marked as the best.
 */
export function sameHeldOut(jobs: readonly Job[]): boolean {
  const asked = jobs.map((job) => {
    const { max_held_out, held_out_fraction } = job.hyperparameters;
    return job.validation_file
      ? [job.validation_file, max_held_out]
      : [job.training_file, job.seed, held_out_fraction, max_held_out];
  });
  return new Set(asked.map((each) => JSON.stringify(each))).size <= 1;
}

/**
 * The final numbers of each run. Accuracy, log odds ratio and NLL are those of held-out pairs. The
 * best is marked if all runs measured the same pairs; the best accuracy only if its interval lies
 * above all others.
 */
export function finals(runs: readonly Compared[]): Row[] {
  const comparable = sameHeldOut(runs.map(({ job }) => job));
  const best = (values: readonly (number | null)[], sign = 1) =>
    comparable ? bestOf(values, sign) : undefined;
  const last = (key: string) => runs.map(({ series }) => series[key]?.at(-1)?.y ?? null);
  const [low, high] = [last("held_out:accuracy/low"), last("held_out:accuracy/high")];
  const accuracy = last("held_out:accuracy");
  const margin = last("held_out:log_odds_ratio");
  const nll = last("held_out:loss/nll");
  const pairs = runs.map(({ job }) => heldOutOf(job));
  const at = runs.map(({ series }) => {
    const measured = series["held_out:accuracy"] ?? series["held_out:loss/nll"];
    return measured?.at(-1)?.x ?? null;
  });
  return [
    { name: "State", values: runs.map(({ job }) => job.status) },
    { name: "Held-out pairs", values: pairs.map((count) => number(count, 0)) },
    { name: "Measured at step", values: at.map((step) => number(step, 0)) },
    {
      name: "Accuracy",
      values: accuracy.map((value, i) =>
        value === null ? "–" : `${percent(value)} (${percent(low[i])} to ${percent(high[i])})`,
      ),
      best: apart(best(accuracy), low, high),
    },
    { name: "Log odds ratio", values: margin.map((value) => signed(value)), best: best(margin) },
    { name: "NLL", values: nll.map((value) => number(value, 3)), best: best(nll, -1) },
    {
      name: "Time",
      values: runs.map(({ job }) =>
        duration(job.started_at && job.finished_at ? job.finished_at - job.started_at : null),
      ),
    },
  ];
}

/** The given place if its interval lies above all others. */
function apart(
  place: number | undefined,
  low: readonly (number | null)[],
  high: readonly (number | null)[],
): number | undefined {
  if (place === undefined) return undefined;
  const others = high.filter((_, i) => i !== place).map((value) => value ?? 0);
  return (low[place] ?? 0) > Math.max(...others) ? place : undefined;
}

/** The place of the best value; undefined if two runs share it. */
function bestOf(values: readonly (number | null)[], sign = 1): number | undefined {
  const known = values.flatMap((value) => (value === null ? [] : [sign * value]));
  const best = Math.max(...known);
  if (known.length < 2 || known.filter((value) => value === best).length > 1) return undefined;
  return values.findIndex((value) => value !== null && sign * value === best);
}
