/** The choice of a registered base model that is ready: the first one, until another is chosen. */
import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Field, inputClass } from "@/components/ui/field";
import { cx } from "@/lib/cx";
import { modelsQuery } from "@/lib/queries";

export interface BaseChoice {
  /** What could not be read, and a retry of it. */
  error: Error | null;
  retry: () => Promise<UseQueryResult>;
  /** Undefined until they are known. */
  bases: { id: string }[] | undefined;
  model: string | null;
  choose: (id: string) => void;
}

export function useBaseChoice(): BaseChoice {
  const models = useQuery(modelsQuery);
  const bases = models.data?.data.filter(
    ({ kind, status }) => kind === "base" && status === "ready",
  );
  const [chosen, choose] = useState<string | null>(null);
  const model = chosen ?? bases?.[0]?.id ?? null;
  return { error: models.error, retry: () => models.refetch(), bases, model, choose };
}

export function BaseField({ label, choice }: { label: string; choice: BaseChoice }) {
  return (
    <Field label={label}>
      {(control) => (
        <select
          {...control}
          className={cx(inputClass, "max-w-sm")}
          value={choice.model ?? ""}
          onChange={(event) => choice.choose(event.target.value)}
        >
          {choice.bases?.map(({ id }) => (
            <option key={id}>{id}</option>
          ))}
        </select>
      )}
    </Field>
  );
}
