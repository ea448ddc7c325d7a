/** The faults of a request, each at its field. */
import { useEffect } from "react";
import { ApiError, type Fault } from "@/lib/api-error";

/** All faults that an error names; any other error is one fault without a field. */
export function faultsOf(error: unknown): Fault[] {
  if (error instanceof ApiError) return error.faults;
  return error instanceof Error ? [{ message: error.message, param: null }] : [];
}

export type Placed = {
  /** The sentences of a field, by its name. */
  at: ReadonlyMap<string, string>;
  /** Those that belong to no field of the form. */
  rest: string[];
};

/** Puts each fault at the field that `fieldOf` finds for it; null is none. */
export function placed(
  faults: readonly Fault[],
  fieldOf: (param: string | null) => string | null,
): Placed {
  const at = new Map<string, string>();
  const rest: string[] = [];
  for (const { message, param } of faults) {
    const field = fieldOf(param);
    if (field === null) rest.push(message);
    else at.set(field, at.has(field) ? `${at.get(field)} ${message}` : message);
  }
  return { at, rest };
}

/**
 * After a form was refused: opens what is folded over a fault, and focuses the first field with one,
 * in the order of the page. `refused` changes with each refusal.
 */
export function useFirstFault(
  box: React.RefObject<HTMLElement | null>,
  { at, rest }: Placed,
  refused: unknown,
) {
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each refusal.
  useEffect(() => {
    if (!refused || !box.current) return;
    const fields = [...box.current.querySelectorAll<HTMLElement>("[data-field]")].filter((each) =>
      at.has(each.dataset.field ?? ""),
    );
    for (const field of fields) {
      const folded = field.closest("details");
      if (folded) folded.open = true;
    }
    const first = rest.length > 0 ? box.current.querySelector("[role=alert]") : fields[0];
    first?.scrollIntoView({ block: "center" });
    fields[0]
      ?.querySelector<HTMLElement>("input, select, textarea")
      ?.focus({ preventScroll: true });
  }, [refused]);
}
