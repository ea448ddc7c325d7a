import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import { CopyButton } from "@/components/copy-button";
import { ErrorPanel } from "@/components/error-panel";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Field, inputClass } from "@/components/ui/field";
import { ApiError, type Schema } from "@/lib/api";
import { createKey, keysQuery } from "@/lib/api-keys";

type Scope = Schema<"Scope">;

// A wider scope includes the narrower ones, so there is one choice, not four.
const SCOPES: { scope: Scope; name: string; what: string }[] = [
  { scope: "read", name: "Read", what: "look at files, runs, models and deployments" },
  { scope: "chat", name: "Chat", what: "also chat, compare models and vote" },
  { scope: "write", name: "Write", what: "also upload, train, deploy and delete" },
  { scope: "admin", name: "Admin", what: "also register models and manage keys" },
];

export function CreateKey() {
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [scope, setScope] = useState<Scope>("write");
  const create = useMutation({
    mutationFn: () => createKey({ name: name.trim(), scopes: [scope] }),
    onSuccess: () => {
      setName("");
      return queries.invalidateQueries(keysQuery);
    },
    // The answer holds the key's text, which must not be kept after this page is left.
    gcTime: 0,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  const { error } = create;
  const isAboutName = error instanceof ApiError && error.param === "name";
  return (
    <Card title="New key">
      <form className="flex flex-col gap-4" onSubmit={submit}>
        <Field
          label="Name"
          hint="Who or what will use it, such as “nightly eval”."
          error={isAboutName ? error.message : null}
        >
          {(control) => (
            <input
              {...control}
              required
              maxLength={100}
              autoComplete="off"
              className={inputClass}
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <fieldset className="flex flex-col gap-2">
          <legend className="mb-1 font-medium">This key may</legend>
          {SCOPES.map((each) => (
            <ScopeChoice
              key={each.scope}
              {...each}
              isChosen={scope === each.scope}
              onChoose={() => setScope(each.scope)}
            />
          ))}
        </fieldset>
        {error && !isAboutName && <ErrorPanel error={error} />}
        <Button type="submit" look="primary" className="self-start" disabled={create.isPending}>
          {create.isPending ? "Creating …" : "Create the key"}
        </Button>
      </form>
      {create.data && <Created created={create.data} onSaved={create.reset} />}
    </Card>
  );
}

function ScopeChoice(props: {
  scope: Scope;
  name: string;
  what: string;
  isChosen: boolean;
  onChoose: () => void;
}) {
  const id = useId();
  return (
    <div className="flex items-start gap-2">
      <input
        type="radio"
        id={id}
        name="scope"
        value={props.scope}
        className="mt-0.5 size-4 accent-accent"
        checked={props.isChosen}
        onChange={props.onChoose}
      />
      <label htmlFor={id}>
        <span className="font-medium">{props.name}</span>
        <span className="text-muted">: {props.what}</span>
      </label>
    </div>
  );
}

function Created(props: { created: Schema<"CreatedApiKey">; onSaved: () => void }) {
  const { key, name } = props.created;
  const panel = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: scroll to and announce each new key.
  useEffect(() => panel.current?.focus(), [key]);
  return (
    <section
      ref={panel}
      tabIndex={-1}
      aria-label={`The new key ${name}`}
      className="mt-4 rounded-lg border border-accent p-3"
    >
      <p>
        This is the key <strong>{name}</strong>. It is shown only once: copy it now.
      </p>
      <p className="my-2 flex items-center gap-2">
        <code className="min-w-0 rounded-md bg-bg px-2 py-1 font-mono break-all">{key}</code>
        <CopyButton text={key} what="the key" />
      </p>
      <Button small onClick={props.onSaved}>
        I have saved it
      </Button>
    </section>
  );
}
