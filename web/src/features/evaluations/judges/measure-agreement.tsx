import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Button } from "@/components/ui/button";
import { ChoiceField, TextField } from "@/components/ui/fields";
import { keys, promptFilesQuery } from "@/features/evaluations/api";
import { labelsName } from "@/features/evaluations/components/agreement-table";
import { type Labels, measureAgreement } from "@/features/evaluations/judges-api";
import type { Judge } from "@/features/evaluations/objects";
import { ApiError } from "@/lib/api";
import { typedNumber } from "@/lib/typed-number";

const LABELS: Labels[] = ["votes", "llmbar", "pandalm"];
const FIELDS = ["labels", "data", "limit"];

/** Asks a judge about answers that people have judged, and counts how often it agrees. */
export function MeasureAgreement({ judge }: { judge: Judge }) {
  const queries = useQueryClient();
  const files = useQuery(promptFilesQuery);
  const [labels, setLabels] = useState<Labels>("votes");
  const [data, setData] = useState("");
  const [limit, setLimit] = useState("");
  const measure = useMutation({
    mutationFn: () =>
      measureAgreement(judge.id, {
        labels,
        data: labels === "votes" ? null : data,
        limit: typedNumber(limit) as number | null,
      }),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.lists }),
  });
  const { error } = measure;
  const param = error instanceof ApiError ? error.param : null;
  const isPlaced = FIELDS.includes(param ?? "") && !(param === "data" && labels === "votes");
  const errorAt = (name: string) => (isPlaced && param === name ? error?.message : null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    measure.mutate();
  };
  return (
    <details>
      <summary className="w-fit text-accent">Measure its agreement with people</summary>
      <form noValidate className="mt-3 flex max-w-2xl flex-col gap-4" onSubmit={submit}>
        <ChoiceField
          name="labels"
          label="People's labels"
          value={labels}
          options={LABELS.map((value) => ({ value, label: labelsName(value) }))}
          hint={
            labels === "votes"
              ? "The votes of your organisation in the playground."
              : "A file as its authors publish it."
          }
          error={errorAt("labels")}
          onChange={(value) => setLabels(value as Labels)}
        />
        {labels !== "votes" && (
          <ChoiceField
            name="data"
            label="File"
            value={data}
            none="Choose a file"
            options={(files.data?.data ?? []).map(({ id, filename }) => ({
              value: id,
              label: filename,
            }))}
            error={errorAt("data")}
            onChange={setData}
          />
        )}
        <TextField
          name="limit"
          label="Pairs (optional)"
          value={limit}
          isNumber
          placeholder="all"
          error={errorAt("limit")}
          onChange={setLimit}
        />
        {error && !isPlaced && <ErrorPanel error={error} />}
        <div className="flex flex-wrap items-center gap-3">
          <Button type="submit" disabled={measure.isPending}>
            {measure.isPending ? "Starting …" : "Measure"}
          </Button>
          <p role="status" className="text-muted">
            {measure.data && (
              <>
                It was started:{" "}
                <Link
                  to="/evaluations/$evaluationId"
                  params={{ evaluationId: measure.data.id }}
                  className="text-accent underline"
                >
                  follow it
                </Link>
                . The result stands here when it has ended.
              </>
            )}
          </p>
        </div>
      </form>
    </details>
  );
}
