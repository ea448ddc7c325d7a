import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useRef, useState } from "react";
import { FaultsPanel } from "@/components/faults-panel";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { ChoiceField, LongTextField } from "@/components/ui/fields";
import { createEvaluation, keys } from "@/features/evaluations/api";
import { JudgeField } from "@/features/evaluations/components/judge-field";
import { bodyOf, type Form, fieldOf, formFaults, shownFor } from "@/features/evaluations/form";
import { BaselineFields } from "@/features/evaluations/new/baseline-fields";
import { MoreSettings } from "@/features/evaluations/new/more-settings";
import { PromptsField } from "@/features/evaluations/new/prompts-field";
import type { Judge, Suite } from "@/features/evaluations/objects";
import type { Schema } from "@/lib/api";
import { faultsOf, placed, useFirstFault } from "@/lib/faults";
import { newKey } from "@/lib/new-key";

type Props = {
  suites: Suite[];
  models: Schema<"ModelObject">[];
  prompts: Schema<"FileObject">[];
  pairs: Schema<"FileObject">[];
  judges: Judge[];
  initial: Form;
};

export function EvaluationForm({ suites, models, prompts, pairs, judges, initial }: Props) {
  const [form, setForm] = useState(initial);
  const [key] = useState(newKey);
  const queries = useQueryClient();
  const navigate = useNavigate();
  const box = useRef<HTMLFormElement>(null);
  const suite = suites.find(({ id }) => id === form.suite);
  const judge = judges.find(({ id }) => id === form.judge);
  const shown = shownFor(suite, judge?.kind);
  const create = useMutation({
    mutationFn: () => createEvaluation(bodyOf(form, shown), key),
    onSuccess: (made) => {
      queries.setQueryData(keys.one(made.id), made);
      queries.invalidateQueries({ queryKey: keys.lists });
      navigate({ to: "/evaluations/$evaluationId", params: { evaluationId: made.id } });
    },
  });
  const { error } = create;
  const [tries, setTries] = useState(0);
  const own = tries > 0 ? formFaults(form, shown) : [];
  const faults = placed(own.length > 0 ? own : faultsOf(error), (param) =>
    fieldOf(param, form, shown),
  );
  const errorAt = (name: string) => faults.at.get(name);
  useFirstFault(box, faults, own.length > 0 ? tries : error);

  const set = (change: Partial<Form>) => setForm((now) => ({ ...now, ...change }));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTries(tries + 1);
    if (formFaults(form, shown).length === 0) create.mutate();
  };
  return (
    <form ref={box} onSubmit={submit} noValidate className="flex max-w-3xl flex-col gap-4">
      <FaultsPanel placed={faults} error={own.length > 0 ? null : error} />
      <Card title="What to evaluate">
        <div className="flex flex-col gap-4">
          <ChoiceField
            name="model"
            label="Model"
            value={form.model}
            none="Choose a model"
            options={modelOptions(models, form.model)}
            error={errorAt("model")}
            onChange={(model) => set({ model })}
          />
          <ChoiceField
            name="suite"
            label="Suite"
            value={form.suite}
            options={suites.map(({ id, title }) => ({ value: id, label: title }))}
            hint={suite?.measures}
            error={errorAt("suite")}
            onChange={(suite) => set({ suite })}
          />
          <PromptsField
            prompts={prompts}
            pairs={pairs}
            suite={suite}
            value={form.data}
            error={errorAt("data")}
            onChange={(data) => set({ data })}
          />
        </div>
      </Card>
      {shown.baseline && (
        <BaselineFields
          form={form}
          models={modelOptions(models, form.baseline)}
          suite={suite}
          errorAt={errorAt}
          set={set}
        />
      )}
      {shown.judge && (
        <Card title="Judge">
          <div className="flex flex-col gap-4">
            <JudgeField
              name="judge"
              label={suite?.judge === "optional" ? "Judge (optional)" : "Judge"}
              value={form.judge}
              judges={judges}
              isOptional={suite?.judge === "optional"}
              hint={
                <Link to="/evaluations/judges" className="text-accent underline">
                  Add a judge, or see how often each agrees with people
                </Link>
              }
              error={errorAt("judge")}
              onChange={(judge) => set({ judge })}
            />
            {shown.prompt && (
              <LongTextField
                name="judge_prompt"
                label="The judge's prompt (optional)"
                value={form.judge_prompt}
                placeholder="The suite's own prompt"
                hint="It holds {prompt}, {first} and {second}. The judge ends with [[A]], [[B]] or [[tie]]."
                error={errorAt("judge_prompt")}
                onChange={(judge_prompt) => set({ judge_prompt })}
              />
            )}
            {shown.prompt && (
              <ChoiceField
                name="orders"
                label="Orders"
                value={form.orders}
                options={[
                  { value: "2", label: "Each pair of answers in both orders" },
                  { value: "1", label: "One order: half the cost, and no flip rate" },
                ]}
                error={errorAt("orders")}
                onChange={(orders) => set({ orders: orders === "1" ? "1" : "2" })}
              />
            )}
          </div>
        </Card>
      )}
      <MoreSettings form={form} suite={suite} errorAt={errorAt} set={set} />
      <div className="flex flex-wrap items-center gap-4">
        <Button type="submit" look="primary" disabled={create.isPending}>
          {create.isPending ? "Starting …" : "Start the evaluation"}
        </Button>
        <Link to="/evaluations" className="text-muted hover:text-ink">
          Back to the evaluations
        </Link>
      </div>
    </form>
  );
}

/** Tuned models first; a link may name a checkpoint, which is in no list. */
function modelOptions(models: Schema<"ModelObject">[], chosen: string) {
  const option = ({ id, status }: Schema<"ModelObject">) => ({
    value: id,
    label: status === "ready" ? id : `${id}, ${status}`,
    isDisabled: status !== "ready",
  });
  const isListed = chosen === "" || models.some(({ id }) => id === chosen);
  return [
    ...(isListed ? [] : [{ value: chosen, label: chosen }]),
    { name: "Tuned", options: models.filter(({ kind }) => kind !== "base").map(option) },
    { name: "Bases", options: models.filter(({ kind }) => kind === "base").map(option) },
  ];
}
