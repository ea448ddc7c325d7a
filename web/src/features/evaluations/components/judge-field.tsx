import type { ComponentProps } from "react";
import { ChoiceField } from "@/components/ui/fields";
import type { Judge } from "@/features/evaluations/objects";

type Props = Omit<ComponentProps<typeof ChoiceField>, "options" | "none"> & {
  judges: Judge[];
  isOptional?: boolean;
};

/** The choice of a judge. */
export function JudgeField({ judges, isOptional, ...field }: Props) {
  return (
    <ChoiceField
      {...field}
      none={
        isOptional
          ? "No judge: people vote"
          : judges.length === 0
            ? "No judge was added"
            : "Choose a judge"
      }
      options={judges.map(({ id, name, kind }) => ({ value: id, label: `${name} (${kind})` }))}
    />
  );
}
