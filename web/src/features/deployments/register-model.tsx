import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Field, inputClass } from "@/components/ui/field";
import { registerModel } from "@/features/deployments/api";
import { fieldOf, type Source } from "@/features/deployments/register-errors";
import { modelsQuery } from "@/lib/queries";

const EMPTY = { path: "", hub_id: "", revision: "", id: "" };
type Values = typeof EMPTY;

/** Adds a base model, from a folder on the server or from the server's model hub. */
export function RegisterModel() {
  const queries = useQueryClient();
  const [source, setSource] = useState<Source>("folder");
  const [values, setValues] = useState<Values>(EMPTY);
  const register = useMutation({
    mutationFn: () => registerModel(bodyOf(source, values)),
    onSuccess: () => {
      setValues(EMPTY);
      return queries.invalidateQueries(modelsQuery);
    },
  });
  const choose = (next: Source) => {
    register.reset();
    setSource(next);
  };
  const field = fieldOf(register.error, source, values);
  const errorAt = (name: keyof Values) => (field === name ? register.error?.message : null);
  const text = (name: keyof Values, label: string, hint: ReactNode, isRequired = false) => (
    <Field label={label} hint={hint} error={errorAt(name)}>
      {(control) => (
        <input
          {...control}
          required={isRequired}
          autoComplete="off"
          spellCheck={false}
          className={inputClass}
          value={values[name]}
          onChange={(event) => setValues({ ...values, [name]: event.target.value })}
        />
      )}
    </Field>
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    register.mutate();
  };
  return (
    <Card title="Register a base model">
      <form className="flex max-w-2xl flex-col gap-4" onSubmit={submit}>
        <fieldset className="flex flex-wrap gap-x-6 gap-y-2">
          <legend className="mb-1 font-medium">Where it is</legend>
          <SourceChoice name="A folder on the server" value="folder" {...{ source, choose }} />
          <SourceChoice name="A model hub" value="hub" {...{ source, choose }} />
        </fieldset>
        {source === "folder" ? (
          text(
            "path",
            "Folder",
            "Its absolute path. It holds safetensors, a configuration and a tokenizer.",
            true,
          )
        ) : (
          <>
            {text("hub_id", "Hub id", "As the hub writes it: owner/name.", true)}
            {text("revision", "Revision", "A branch, tag or commit; empty for the newest.")}
          </>
        )}
        {text("id", "Name here", `If empty, the ${source === "folder" ? "folder" : "hub"}'s name.`)}
        {register.error && field === null && <ErrorPanel error={register.error} />}
        <div className="flex flex-wrap items-center gap-3">
          <Button type="submit" look="primary" disabled={register.isPending}>
            {register.isPending ? "Checking …" : "Register"}
          </Button>
          <p role="status" className="text-muted">
            {register.isPending && "Large weights take a while to read."}
            {register.data && `${register.data.id} is ${register.data.status}.`}
          </p>
        </div>
      </form>
    </Card>
  );
}

function bodyOf(source: Source, { path, hub_id, revision, id }: Values) {
  const given = (value: string) => value.trim() || undefined;
  return source === "folder"
    ? { path: path.trim(), id: given(id) }
    : { hub_id: hub_id.trim(), revision: given(revision), id: given(id) };
}

function SourceChoice(props: {
  name: string;
  value: Source;
  source: Source;
  choose: (source: Source) => void;
}) {
  return (
    <label className="flex items-center gap-2">
      <input
        type="radio"
        name="source"
        value={props.value}
        className="size-4 accent-accent"
        checked={props.source === props.value}
        onChange={() => props.choose(props.value)}
      />
      {props.name}
    </label>
  );
}
