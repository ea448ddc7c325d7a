import { type ReactNode, useId } from "react";

export const inputClass =
  "w-full min-h-9 rounded-md border border-line bg-surface px-3 text-ink placeholder:text-muted " +
  "aria-invalid:border-rejected";

/** A label, its control, a sentence about it, and the error that the API gave for it. */
export function Field(props: {
  label: string;
  hint?: ReactNode;
  error?: string | null;
  children: (control: {
    id: string;
    "aria-describedby": string | undefined;
    "aria-invalid": boolean | undefined;
  }) => ReactNode;
}) {
  const id = useId();
  const described = [props.hint && `${id}-hint`, props.error && `${id}-error`].filter(Boolean);
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={id} className="font-medium">
        {props.label}
      </label>
      {props.children({
        id,
        "aria-describedby": described.join(" ") || undefined,
        "aria-invalid": props.error ? true : undefined,
      })}
      {props.hint && (
        <p id={`${id}-hint`} className="text-sm text-muted">
          {props.hint}
        </p>
      )}
      {props.error && (
        <p id={`${id}-error`} role="alert" className="text-sm text-rejected">
          {props.error}
        </p>
      )}
    </div>
  );
}
