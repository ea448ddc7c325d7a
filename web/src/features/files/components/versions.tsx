import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Field, inputClass } from "@/components/ui/field";
import { Cell, Row, Table } from "@/components/ui/table";
import { FileState } from "@/features/files/components/file-state";
import {
  clearSteps,
  offerStep,
  type RecipeStep,
  useOfferedSteps,
  withdrawStep,
} from "@/features/files/recipe-draft";
import { stepOf } from "@/features/files/step-error";
import { ADDABLE, stepInWords } from "@/features/files/steps";
import { makeVersion, previewRecipe, versionsQuery } from "@/features/files/versions-api";
import type { Schema } from "@/lib/api";
import { number } from "@/lib/format";

/** Where a file comes from, the versions that were made of it, and a recipe for another one. */
export default function Versions({ file }: { file: Schema<"FileObject"> }) {
  const made = useQuery(versionsQuery(file.id));
  const children = made.data?.data ?? [];
  return (
    <Card title="Versions">
      <div className="grid gap-4">
        {file.recipe && <Origin parents={file.parents} recipe={file.recipe} />}
        <Recipe fileId={file.id} />
        {made.error && <ErrorPanel error={made.error} retry={() => made.refetch()} />}
        {children.length > 0 && (
          <div>
            <h3 className="font-medium">Made of this file</h3>
            <ul aria-label="Versions of this file">
              {children.map((version) => (
                <li key={version.id} className="flex flex-wrap items-center gap-x-3 py-1">
                  <FileLink id={version.id}>{version.filename}</FileLink>
                  <FileState file={version} />
                  <span className="min-w-0 break-words text-muted">
                    {(version.recipe ?? []).map(stepInWords).join(", ")}
                  </span>
                  {version.status === "error" && version.status_details && (
                    <p className="w-full break-words text-rejected">{version.status_details}</p>
                  )}
                </li>
              ))}
            </ul>
          </div>
        )}
      </div>
    </Card>
  );
}

function FileLink({ id, children }: { id: string; children: string }) {
  return (
    <Link to="/files/$fileId" params={{ fileId: id }} className="break-all text-accent underline">
      {children}
    </Link>
  );
}

function Origin({ parents, recipe }: { parents: Schema<"Parent">[]; recipe: RecipeStep[] }) {
  return (
    <div>
      <h3 className="font-medium">Made by a recipe</h3>
      <p>
        Of{" "}
        {parents.map(({ id }, at) => (
          <span key={id}>
            {at > 0 && ", "}
            <FileLink id={id}>{id}</FileLink>
          </span>
        ))}
        : {recipe.map(stepInWords).join(", ")}.
      </p>
    </div>
  );
}

function Recipe({ fileId }: { fileId: string }) {
  const queries = useQueryClient();
  const steps = useOfferedSteps(fileId);
  const recipe = [...steps];
  const preview = useMutation({ mutationFn: () => previewRecipe(fileId, recipe) });
  const make = useMutation({
    mutationFn: () => makeVersion(fileId, recipe),
    onSuccess: () => {
      clearSteps(fileId);
      preview.reset();
      queries.invalidateQueries({ queryKey: ["files"] });
    },
  });
  const change = (apply: () => void) => {
    apply();
    preview.reset();
    make.reset();
  };
  const isBusy = preview.isPending || make.isPending;
  const error = preview.error ?? make.error;
  const faulty = stepOf(error, steps.length);
  return (
    <div className="grid gap-3">
      <div>
        <h3 className="font-medium">Recipe for another version</h3>
        <p className="max-w-prose text-muted">
          The file stays as it is. Steps are applied to its accepted rows, from the first to the
          last.
        </p>
      </div>
      {steps.length === 0 ? (
        <p>No step yet. Add one below, or by the button of a finding.</p>
      ) : (
        <ol aria-label="Steps" className="grid gap-1">
          {steps.map((step, at) => (
            <li key={JSON.stringify(step)} className="flex flex-col">
              <div className="flex items-center gap-2">
                <span className="text-muted">{at + 1}.</span>
                <span className="min-w-0 break-words">{stepInWords(step)}</span>
                <Button small onClick={() => change(() => withdrawStep(fileId, step))}>
                  <X aria-hidden="true" size={14} />
                  <span className="sr-only">Remove: {stepInWords(step)}</span>
                </Button>
              </div>
              {at === faulty && error && (
                <p role="alert" className="break-words text-rejected">
                  {error.message}
                </p>
              )}
            </li>
          ))}
        </ol>
      )}
      <AddStep onAdd={(step) => change(() => offerStep(fileId, step))} />
      <Needs scope="write">
        <div className="flex flex-wrap gap-2">
          <Button disabled={steps.length === 0 || isBusy} onClick={() => preview.mutate()}>
            {preview.isPending ? "Counting the rows" : "Preview"}
          </Button>
          <Button
            look="primary"
            disabled={steps.length === 0 || isBusy}
            onClick={() => make.mutate()}
          >
            Make version
          </Button>
        </div>
      </Needs>
      {error && faulty === null && <ErrorPanel error={error} />}
      {preview.data && <Preview found={preview.data} steps={recipe} />}
    </div>
  );
}

function AddStep({ onAdd }: { onAdd: (step: RecipeStep) => void }) {
  const [kind, setKind] = useState(0);
  const [text, setText] = useState("");
  const addable = ADDABLE[kind] ?? ADDABLE[0];
  const step = addable.step(text);
  return (
    <form
      className="flex flex-wrap items-end gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        if (step) onAdd(step);
        setText("");
      }}
    >
      <Field label="Step">
        {(control) => (
          <select
            {...control}
            className={inputClass}
            value={kind}
            onChange={(event) => setKind(Number(event.target.value))}
          >
            {ADDABLE.map(({ label }, at) => (
              <option key={label} value={at}>
                {label}
              </option>
            ))}
          </select>
        )}
      </Field>
      {addable.value && (
        <Field label={addable.value}>
          {(control) => (
            <input
              {...control}
              size={12}
              className={inputClass}
              aria-invalid={(text !== "" && !step) || undefined}
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
          )}
        </Field>
      )}
      <Button type="submit" disabled={!step}>
        Add step
      </Button>
    </form>
  );
}

function Preview({ found, steps }: { found: Schema<"RecipePreview">; steps: RecipeStep[] }) {
  return (
    <div>
      <Table caption="What the recipe does" columns={["Step", "Rows before", "Rows after"]}>
        {found.steps.map(({ rows_before, rows_after }, at) => {
          const step = steps[at];
          const name = step ? stepInWords(step) : String(at + 1);
          return (
            <Row key={step ? JSON.stringify(step) : name}>
              <Cell label="Step">{name}</Cell>
              <Cell label="Rows before">{number(rows_before)}</Cell>
              <Cell label="Rows after">{number(rows_after)}</Cell>
            </Row>
          );
        })}
      </Table>
      {found.held_out !== null && <p>Rows held out: {number(found.held_out)}.</p>}
      {!found.exact && (
        <p className="text-muted">Counted on the first {number(found.rows_read)} rows only.</p>
      )}
    </div>
  );
}
