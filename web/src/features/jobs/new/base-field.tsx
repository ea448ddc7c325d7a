import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Button } from "@/components/ui/button";
import { ChoiceField } from "@/components/ui/fields";
import { makeBase } from "@/features/jobs/api";
import { Sentence } from "@/features/jobs/components/sentence";
import { type Model, madeOf, startsOf } from "@/features/jobs/new/starts";
import { modelsQuery } from "@/lib/queries";

type Props = {
  models: readonly Model[];
  value: string;
  error: string | null | undefined;
  onChange: (model: string) => void;
};

/** The model that a run starts from: a base, or a tuned model, of which a base is made first. */
export function BaseField({ models, value, error, onChange }: Props) {
  const { bases, tuned } = startsOf(models);
  const isTuned = models.some(({ id, kind }) => id === value && kind === "tuned");
  const made = isTuned ? madeOf(models, value) : undefined;
  const ready = made?.status === "ready" ? made.id : null;
  useEffect(() => {
    if (ready !== null) onChange(ready);
  }, [ready, onChange]);
  return (
    <div className="flex flex-col gap-2">
      <ChoiceField
        name="model"
        label="Base model"
        value={value}
        none={bases.length === 0 ? "No base model is registered" : "Choose a base model"}
        options={[
          ...bases.map(({ id, status, parent }) => ({
            value: id,
            label: [id, parent && `made from ${parent}`, status !== "ready" && status]
              .filter(Boolean)
              .join(", "),
            isDisabled: status !== "ready",
          })),
          ...tuned.map(({ id }) => ({ value: id, label: `${id}, to train it further` })),
        ]}
        hint={bases.length === 0 && <Sentence text="Register one: `oddsmith models add FOLDER`." />}
        error={isTuned && error ? "Make it a base model first." : error}
        onChange={onChange}
      />
      {isTuned && <MakeBase tuned={value} made={made} />}
    </div>
  );
}

/** What has to happen before a tuned model can be trained further, and the button that does it. */
function MakeBase({ tuned, made }: { tuned: string; made: Model | undefined }) {
  const queries = useQueryClient();
  const making = useMutation({
    mutationFn: () => makeBase(tuned),
    onSuccess: () => queries.invalidateQueries({ queryKey: modelsQuery.queryKey }),
  });
  const isMade = making.isPending || made?.status === "merging";
  return (
    <div className="flex flex-col items-start gap-2 rounded-md border border-line p-3">
      <p className="break-words">
        To train {tuned} further, a copy of its whole weights becomes a base model of its own. That
        takes about as long as a download of it, and as much room on the disk.
      </p>
      {made?.status === "error" && <ErrorPanel error={made.error ?? "The copy failed."} />}
      {making.error && <ErrorPanel error={making.error} />}
      <Button disabled={isMade} onClick={() => making.mutate()}>
        {isMade ? "Making the base …" : "Make it a base model"}
      </Button>
      {isMade && (
        <p role="status" className="text-sm text-muted">
          The form goes on with it once it is ready.
        </p>
      )}
    </div>
  );
}
