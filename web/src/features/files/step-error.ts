/** Which step of a recipe an error of the API is about. */
import { ApiError } from "@/lib/api";

/** The place of the step that an error names; null if it names none of the recipe's. */
export function stepOf(error: unknown, count: number): number | null {
  const param = error instanceof ApiError ? error.param : null;
  const at = Number(/^recipe\.(\d+)(\.|$)/.exec(param ?? "")?.[1] ?? Number.NaN);
  return at < count ? at : null;
}
