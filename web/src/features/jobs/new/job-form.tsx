import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, lazy, Suspense, useEffect, useRef, useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { ChoiceField, TextField } from "@/components/ui/fields";
import { isGateField } from "@/features/evaluations/gates/gate-draft";
import { createJob, keys } from "@/features/jobs/api";
import { Sentence } from "@/features/jobs/components/sentence";
import { type Method, type Setting, settingsOf } from "@/features/jobs/methods";
import { EstimateCard } from "@/features/jobs/new/estimate";
import { createEstimate } from "@/features/jobs/new/estimates";
import { bodyOf, type Form, fieldOf } from "@/features/jobs/new/new-job";
import { SettingField } from "@/features/jobs/new/setting-field";
import { ApiError, type Schema } from "@/lib/api";
import { bytes } from "@/lib/format";
import { newKey } from "@/lib/new-key";

const GatesFields = lazy(() => import("@/features/evaluations/gates/gates-fields"));

type Props = {
  methods: Method[];
  models: Schema<"ModelObject">[];
  files: Schema<"FileObject">[];
  initial: Form;
};

export function JobForm({ methods, models, files, initial }: Props) {
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
  const error = create.error ?? estimate.error;
  const field = error instanceof ApiError ? fieldOf(error.param) : null;
  const names = ["model", "method", "training_file", "validation_file", "suffix", "seed"];
  const isPlaced =
    [...names, ...settings.map(({ name }) => name)].includes(field ?? "") ||
    isGateField(field ?? "", form.gates);
  const errorAt = (name: string) => (isPlaced && field === name ? error?.message : null);

  useEffect(() => {
    if (!error) return;
    const place = box.current?.querySelector(isPlaced ? `[data-field="${field}"]` : "[role=alert]");
    const folded = place?.closest("details");
    if (folded) folded.open = true;
    place?.scrollIntoView({ block: "center" });
    place?.querySelector<HTMLElement>("input, select")?.focus({ preventScroll: true });
  }, [error, field, isPlaced]);

  const set = (change: Partial<Form>) => setForm((now) => ({ ...now, ...change }));
  // Gates say nothing about what the training takes.
  const estimated = () => bodyOf({ ...form, gates: [] }, settings);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    estimate.reset();
    create.mutate();
  };
  const bases = models.filter((model) => model.kind === "base");
  const [first, ...folded] = method?.groups ?? [];
  const fileChoices = files.map((file) => ({
    value: file.id,
    label: `${file.filename}, ${bytes(file.bytes)}${file.status === "processed" ? "" : `, ${file.status}`}`,
  }));
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
      {error && !isPlaced && <ErrorPanel error={error} />}
      <Card title="What to tune">
        <div className="flex flex-col gap-4">
          <ChoiceField
            name="model"
            label="Base model"
            value={form.model}
            none={bases.length === 0 ? "No base model is registered" : "Choose a base model"}
            options={bases.map(({ id, status }) => ({
              value: id,
              label: status === "ready" ? id : `${id}, ${status}`,
            }))}
            hint={
              bases.length === 0 && <Sentence text="Register one: `oddsmith models add FOLDER`." />
            }
            error={errorAt("model")}
            onChange={(model) => set({ model })}
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
            error={errorAt("training_file")}
            onChange={(training_file) => set({ training_file })}
          />
          <ChoiceField
            name="validation_file"
            label="Validation file (optional)"
            value={form.validation_file}
            none="Hold out a share of the training file"
            options={fileChoices}
            error={errorAt("validation_file")}
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
      {estimate.data && (
        <EstimateCard
          id={estimate.data.id}
          isStale={JSON.stringify(estimate.variables) !== JSON.stringify(estimated())}
        />
      )}
      <div className="flex flex-wrap items-center gap-4">
        <Button type="submit" look="primary" disabled={create.isPending}>
          {create.isPending ? "Starting …" : "Start the run"}
        </Button>
        <Button
          disabled={estimate.isPending}
          onClick={() => {
            create.reset();
            estimate.mutate(estimated());
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
