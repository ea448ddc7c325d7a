import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";
import { type FormEvent, useId, useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { ChoiceField, TextField } from "@/components/ui/fields";
import { createJudge, judgesQuery } from "@/features/evaluations/judges-api";
import type { Judge } from "@/features/evaluations/objects";
import { ApiError, type Schema } from "@/lib/api";
import { modelsQuery } from "@/lib/queries";

const KINDS: { kind: Judge["kind"]; name: string; what: string }[] = [
  {
    kind: "openai",
    name: "A model of another service",
    what: "answers at an OpenAI-compatible address",
  },
  { kind: "deployment", name: "A model of this installation", what: "must be deployed to judge" },
  {
    kind: "reward",
    name: "A reward model",
    what: "gives each answer a number; trained by a run with the method reward",
  },
];

const EMPTY = { model: "", name: "", base_url: "", secret: "" };
const FIELDS = ["model", "name", "base_url", "secret"];

/** Adds a judge; the API's errors stand at their fields. */
export function AddJudge() {
  const id = useId();
  const queries = useQueryClient();
  const models = useQuery(modelsQuery);
  const search = useSearch({ from: "/shell/evaluations/judges" });
  const linked = KINDS.find((each) => each.kind === search.kind)?.kind;
  const [kind, setKind] = useState<Judge["kind"]>(linked ?? "openai");
  const [values, setValues] = useState({ ...EMPTY, model: search.model ?? "" });
  const add = useMutation({
    mutationFn: () => createJudge(bodyOf(kind, values)),
    onSuccess: () => {
      setValues(EMPTY);
      return queries.invalidateQueries(judgesQuery);
    },
  });
  const param = add.error instanceof ApiError ? add.error.param : null;
  const shown = kind === "openai" ? FIELDS : ["model", "name"];
  const isPlaced = shown.includes(param ?? "");
  const field = (name: keyof typeof EMPTY) => ({
    name,
    value: values[name],
    error: param === name ? add.error?.message : null,
    onChange: (value: string) => setValues({ ...values, [name]: value }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    add.mutate();
  };
  const options = (models.data?.data ?? [])
    .filter(({ status, use }) => status === "ready" && (use === "judge") === (kind === "reward"))
    .map((model) => ({ value: model.id, label: model.id }));
  return (
    <Card title="Add a judge">
      <form noValidate className="flex max-w-2xl flex-col gap-4" onSubmit={submit}>
        <fieldset className="flex flex-col gap-2">
          <legend className="mb-1 font-medium">What judges</legend>
          {KINDS.map((each) => (
            <div key={each.kind} className="flex items-start gap-2">
              <input
                type="radio"
                id={`${id}-${each.kind}`}
                name={id}
                value={each.kind}
                className="mt-0.5 size-4 accent-accent"
                checked={kind === each.kind}
                onChange={() => {
                  add.reset();
                  setKind(each.kind);
                  setValues({ ...values, model: "" });
                }}
              />
              <label htmlFor={`${id}-${each.kind}`}>
                {each.name}
                <span className="text-muted">: {each.what}</span>
              </label>
            </div>
          ))}
        </fieldset>
        {kind === "openai" ? (
          <>
            <TextField
              {...field("base_url")}
              label="Address"
              placeholder="https://api.example.com/v1"
              hint="Before /chat/completions."
            />
            <TextField {...field("model")} label="Model there" />
            <TextField
              {...field("secret")}
              label="Name of the stored key (optional)"
              hint="The operator stores keys under names; they are never typed here."
            />
          </>
        ) : (
          <ChoiceField
            {...field("model")}
            label={kind === "reward" ? "Reward model" : "Model"}
            none="Choose a model"
            options={options}
          />
        )}
        <TextField {...field("name")} label="Name (optional)" hint="If empty, the model's name." />
        {add.error && !isPlaced && <ErrorPanel error={add.error} />}
        <div className="flex flex-wrap items-center gap-3">
          <Button type="submit" look="primary" disabled={add.isPending}>
            {add.isPending ? "Adding …" : "Add the judge"}
          </Button>
          <p role="status" className="text-muted">
            {add.data && `${add.data.name} was added.`}
          </p>
        </div>
      </form>
    </Card>
  );
}

function bodyOf(kind: Judge["kind"], values: typeof EMPTY): Schema<"CreateJudge"> {
  const { model, name, base_url, secret } = values;
  const given = (value: string) => value.trim() || null;
  const common = { kind, model: model.trim(), name: given(name) };
  return kind === "openai"
    ? { ...common, base_url: given(base_url), secret: given(secret) }
    : common;
}
