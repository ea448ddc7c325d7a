import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, lazy, Suspense, useCallback, useRef, useState } from "react";
import { FaultsPanel } from "@/components/faults-panel";
import { Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { ChoiceField, TextField } from "@/components/ui/fields";
import { isGateField } from "@/features/evaluations/gates/gate-draft";
import { createJob, keys } from "@/features/jobs/api";
import { type Method, type Setting, settingsOf } from "@/features/jobs/methods";
import { BaseField } from "@/features/jobs/new/base-field";
import { EstimateCard, SizeCard } from "@/features/jobs/new/estimate";
import { createEstimate, type SizeOf, sizeOf } from "@/features/jobs/new/estimates";
import {
  bodyOf,
  type Form,
  fieldOf,
  formFaults,
  type Gone,
  useOf,
} from "@/features/jobs/new/new-job";
import { SettingField } from "@/features/jobs/new/setting-field";
import type { Schema } from "@/lib/api";
import { faultsOf, placed, useFirstFault } from "@/lib/faults";
import { choiceFault, fileOption } from "@/lib/file-options";
import { newKey } from "@/lib/new-key";

const GatesFields = lazy(() => import("@/features/evaluations/gates/gates-fields"));

type Props = {
  methods: Method[];
  models: Schema<"ModelObject">[];
  files: Schema<"FileObject">[];
  initial: Form;
  /** Of a run that this one repeats: what became of its files that were deleted. */
  gone: Gone;
};

export function JobForm({ methods, models, files, initial, gone }: Props) {
  const [form, setForm] = useState(initial);
  const [key] = useState(newKey);
  const [hasGates, setGates] = useState(initial.gates.length > 0);
  const queries = useQueryClient();
  const navigate = useNavigate();
  const box = useRef<HTMLFormElement>(null);
  const method = methods.find(({ id }) => id === form.type) ?? methods[0];
  const settings = settingsOf(method);
  const create = useMutation({
    mutationFn: () => createJob(bodyOf(form, settings), key),
    onSuccess: (job) => {
      queries.setQueryData(keys.job(job.id), job);
      queries.invalidateQueries({ queryKey: keys.list });
      navigate({ to: "/jobs/$jobId", params: { jobId: job.id } });
    },
  });
  // Keeps the request, so that a later change of the form is noticed.
  const estimate = useMutation({ mutationFn: createEstimate });
  const [size, setSize] = useState<SizeOf | null>(null);
  const error = create.error ?? estimate.error;
  const names = ["model", "method", "training_file", "validation_file", "suffix", "seed"];
  const known = [...names, ...settings.map(({ name }) => name)];
  const [tries, setTries] = useState(0);
  // Once the form was sent, what is wrong with it is told as it is typed.
  const own = tries > 0 ? formFaults(form, method) : [];
  const faults = placed(own.length > 0 ? own : faultsOf(error), (param) => {
    const field = fieldOf(param);
    return field && (known.includes(field) || isGateField(field, form.gates)) ? field : null;
  });
  const errorAt = (name: string) => faults.at.get(name);
  useFirstFault(box, faults, own.length > 0 ? tries : error);

  const set = (change: Partial<Form>) => setForm((now) => ({ ...now, ...change }));
  const setModel = useCallback((model: string) => setForm((now) => ({ ...now, model })), []);
  // Gates say nothing about what the training takes.
  const estimated = () => bodyOf({ ...form, gates: [] }, settings);
  /** Whether the form can be sent; otherwise its faults are shown. */
  const check = () => {
    setTries(tries + 1);
    return formFaults(form, method).length === 0;
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    estimate.reset();
    if (check()) create.mutate();
  };
  const [first, ...folded] = method?.groups ?? [];
  const use = useOf(form.type);
  const fileChoices = files.map((file) => fileOption(file, use));
  const fileFault = (name: "training_file" | "validation_file") =>
    errorAt(name) ??
    choiceFault(
      files.find(({ id }) => id === form[name]),
      use,
    ) ??
    (form[name] === "" ? gone[name] : undefined);
  const typed = (group: Setting[]) => {
    const count = group.filter(({ name }) => form.values[name]).length;
    return count > 0 ? `${count} changed` : `${group.length} at their defaults`;
  };
  const fields = (group: Setting[]) => (
    <div className="grid gap-4 sm:grid-cols-2">
      {group.map((setting) => (
        <SettingField
          key={setting.name}
          setting={setting}
          value={form.values[setting.name] ?? ""}
          isUndecided={setting.name === "learning_rate" && !!form.values.tuning}
          error={errorAt(setting.name)}
          onChange={(value) => set({ values: { ...form.values, [setting.name]: value } })}
        />
      ))}
    </div>
  );
  return (
    <form ref={box} onSubmit={submit} noValidate className="flex max-w-3xl flex-col gap-4">
      <FaultsPanel placed={faults} error={own.length > 0 ? null : error} />
      <Card title="What to tune">
        <div className="flex flex-col gap-4">
          <BaseField
            models={models}
            value={form.model}
            error={errorAt("model")}
            onChange={setModel}
          />
          <ChoiceField
            name="training_file"
            label="Training file"
            value={form.training_file}
            none={files.length === 0 ? "No file is uploaded" : "Choose a file"}
            options={fileChoices}
            hint={
              <Link to="/files" className="text-accent underline">
                Upload another file
              </Link>
            }
            error={fileFault("training_file")}
            onChange={(training_file) => set({ training_file })}
          />
          <ChoiceField
            name="validation_file"
            label="Validation file (optional)"
            value={form.validation_file}
            none="Hold out a share of the training file"
            options={fileChoices}
            error={fileFault("validation_file")}
            onChange={(validation_file) => set({ validation_file })}
          />
          <ChoiceField
            name="method"
            label="Method"
            value={form.type}
            options={methods.map(({ id, label }) => ({ value: id, label }))}
            hint={method?.description}
            error={errorAt("method")}
            onChange={(type) => set({ type })}
          />
        </div>
      </Card>
      {first && <Card title={first.name}>{fields(first.settings)}</Card>}
      <div className="divide-y divide-line rounded-lg border border-line bg-surface">
        {folded.map((group) => (
          <details key={group.name} open={group.settings.some(({ name }) => initial.values[name])}>
            <summary className="px-4 py-3 font-semibold">
              {group.name}
              <span className="ml-2 text-sm font-normal text-muted">{typed(group.settings)}</span>
            </summary>
            <div className="p-4 pt-1">{fields(group.settings)}</div>
          </details>
        ))}
        <details open={hasGates} onToggle={(event) => setGates(event.currentTarget.open)}>
          <summary className="px-4 py-3 font-semibold">
            Gates
            <span className="ml-2 text-sm font-normal text-muted">
              {form.gates.length === 0 ? "none" : `${form.gates.length} to pass`}
            </span>
          </summary>
          <div className="p-4 pt-1">
            {hasGates && (
              <Suspense fallback={<Loading what="Loading the suites" />}>
                <GatesFields
                  drafts={form.gates}
                  errorAt={errorAt}
                  onChange={(gates) => set({ gates })}
                />
              </Suspense>
            )}
          </div>
        </details>
      </div>
      <Card title="Name and seed">
        <div className="grid gap-4 sm:grid-cols-2">
          <TextField
            name="suffix"
            label="Name (optional)"
            value={form.suffix}
            hint="Becomes a part of the model's id."
            error={errorAt("suffix")}
            onChange={(suffix) => set({ suffix })}
          />
          <TextField
            name="seed"
            label="Seed (optional)"
            value={form.seed}
            hint="The same seed, data and settings give the same model. Empty: a random seed."
            error={errorAt("seed")}
            onChange={(seed) => set({ seed })}
          />
        </div>
      </Card>
      {size && (
        <SizeCard
          size={size}
          isStale={JSON.stringify(size) !== JSON.stringify(sizeOf(estimated()))}
          onCancel={() => setSize(null)}
        />
      )}
      {estimate.data && (
        <EstimateCard
          key={estimate.data.id}
          id={estimate.data.id}
          isStale={JSON.stringify(estimate.variables) !== JSON.stringify(estimated())}
        />
      )}
      <div className="flex flex-wrap items-center gap-4">
        <Button type="submit" look="primary" disabled={create.isPending}>
          {create.isPending ? "Starting …" : "Start the run"}
        </Button>
        <Button
          onClick={() => {
            create.reset();
            if (check()) setSize(sizeOf(estimated()));
          }}
        >
          Estimate at once
        </Button>
        <Button
          disabled={estimate.isPending}
          onClick={() => {
            create.reset();
            if (check()) estimate.mutate(estimated());
          }}
        >
          {estimate.isPending ? "Asking …" : "Measure what it takes"}
        </Button>
        <Link to="/jobs" className="text-muted hover:text-ink">
          Back to the runs
        </Link>
      </div>
    </form>
  );
}
