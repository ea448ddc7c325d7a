import { useQuery } from "@tanstack/react-query";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { ChoiceField, TextField } from "@/components/ui/fields";
import { promptFilesQuery, suitesQuery } from "@/features/evaluations/api";
import { JudgeField } from "@/features/evaluations/components/judge-field";
import { readsPairs } from "@/features/evaluations/form";
import { type GateDraft, newGate, thresholdFor } from "@/features/evaluations/gates/gate-draft";
import { judgesQuery } from "@/features/evaluations/judges-api";
import type { Judge, Suite } from "@/features/evaluations/objects";
import { metricOf } from "@/features/evaluations/words";
import type { Schema } from "@/lib/api";
import { fileOption } from "@/lib/file-options";
import { filesQuery } from "@/lib/queries";

type Props = {
  drafts: GateDraft[];
  errorAt: (name: string) => string | null | undefined;
  onChange: (drafts: GateDraft[]) => void;
};

/** What the model of a new run must reach to be promoted. */
export default function GatesFields({ drafts, errorAt, onChange }: Props) {
  const suites = useQuery(suitesQuery);
  const prompts = useQuery(promptFilesQuery);
  const pairs = useQuery(filesQuery(1000));
  const judges = useQuery(judgesQuery);
  const asked = [suites, prompts, pairs, judges];
  const failed = asked.find((query) => query.error);
  if (failed) return <ErrorPanel error={failed.error} retry={() => failed.refetch()} />;
  if (asked.some((query) => !query.data)) return <Loading what="Loading the suites" />;
  // A gate is a lower bound.
  const usable = (suites.data ?? []).filter(({ lower_is }) => lower_is === null);
  const [first] = usable;
  const put = (place: number, change: Partial<GateDraft>) =>
    onChange(drafts.map((draft, at) => (at === place ? { ...draft, ...change } : draft)));
  return (
    <div className="flex flex-col gap-4">
      <p className="max-w-prose text-muted">
        After the training, the model is evaluated. It is promoted if it passes all gates: the whole
        95% interval must be at or above the threshold.
      </p>
      {drafts.map((draft, place) => (
        <Gate
          // biome-ignore lint/suspicious/noArrayIndexKey: an error names a gate by its place.
          key={place}
          place={place}
          draft={draft}
          suites={usable}
          files={{ prompts: prompts.data?.data ?? [], pairs: pairs.data?.data ?? [] }}
          judges={judges.data ?? []}
          errorAt={errorAt}
          put={(change) => put(place, change)}
          remove={() => onChange(drafts.filter((_, at) => at !== place))}
        />
      ))}
      {first && (
        <Button small className="self-start" onClick={() => onChange([...drafts, newGate(first)])}>
          {drafts.length === 0 ? "Add a gate" : "Add another gate"}
        </Button>
      )}
    </div>
  );
}

function Gate(props: {
  place: number;
  draft: GateDraft;
  suites: Suite[];
  files: { prompts: Schema<"FileObject">[]; pairs: Schema<"FileObject">[] };
  judges: Judge[];
  errorAt: Props["errorAt"];
  put: (change: Partial<GateDraft>) => void;
  remove: () => void;
}) {
  const { place, draft, suites, files, judges, put } = props;
  const suite = suites.find(({ id }) => id === draft.suite);
  const field = (name: Exclude<keyof GateDraft, "seed">) => ({
    name: `gates.${place}.${name}`,
    value: draft[name],
    error: props.errorAt(`gates.${place}.${name}`),
    onChange: (value: string) => put({ [name]: value }),
  });
  const choose = (id: string) => {
    const chosen = suites.find((each) => each.id === id);
    if (chosen) put({ ...newGate(chosen), data: draft.data, limit: draft.limit });
  };
  return (
    <fieldset className="rounded-md border border-line p-3">
      <legend className="px-1 font-medium">Gate {place + 1}</legend>
      <div className="grid gap-4 sm:grid-cols-2">
        <ChoiceField
          {...field("suite")}
          label="Suite"
          options={suites.map(({ id, title }) => ({ value: id, label: title }))}
          onChange={choose}
        />
        <ChoiceField
          {...field("metric")}
          label="Score"
          options={(suite?.metrics ?? []).map((name) => ({
            value: name,
            label: metricOf(name).title,
          }))}
          onChange={(metric) => put({ metric, at_least: thresholdFor(metric) })}
        />
        <TextField
          {...field("at_least")}
          label="At least"
          hint={
            draft.metric.startsWith("win_rate")
              ? "A number, such as 0.5."
              : "A number, such as 0.4, or base, base - 0.02: relative to the base model."
          }
        />
        <ChoiceField
          {...field("data")}
          label={readsPairs(suite) ? "Pairs" : "Prompts"}
          none="Choose a file"
          options={
            readsPairs(suite)
              ? files.pairs.map(option)
              : [
                  { name: "Files of prompts", options: files.prompts.map(option) },
                  { name: "The prompts of files of pairs", options: files.pairs.map(option) },
                ]
          }
        />
        {suite && suite.judge !== "no" && (
          <JudgeField {...field("judge")} label="Judge" judges={judges} />
        )}
        <TextField
          {...field("limit")}
          label={`How many ${readsPairs(suite) ? "pairs" : "prompts"}`}
          isNumber
          placeholder="all"
          hint="More of them give a narrower interval."
        />
      </div>
      <Button small className="mt-3" onClick={props.remove}>
        Remove<span className="sr-only"> gate {place + 1}</span>
      </Button>
    </fieldset>
  );
}

const option = (file: Schema<"FileObject">) => fileOption(file, "prompts");
