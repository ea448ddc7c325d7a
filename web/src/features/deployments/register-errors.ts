import { ApiError } from "@/lib/api";

export type Source = "folder" | "hub";
type Field = "path" | "hub_id" | "revision" | "id";

/**
 * The field of the form that an error belongs to, or null. The API uses `id` both for the name here
 * and for the hub's model: an error that names only the hub's id is about the hub's model.
 */
export function fieldOf(
  error: unknown,
  source: Source,
  values: { hub_id: string; id: string },
): Field | null {
  if (!(error instanceof ApiError)) return null;
  if (source === "folder")
    return error.param === "path" || error.param === "id" ? error.param : null;
  if (error.param === "revision" || error.param === "hub_id") return error.param;
  if (error.param !== "id") return null;
  const isNameWrong = error.code === "model_exists" || error.message.startsWith("A model's id");
  return isNameWrong && values.id.trim() !== "" ? "id" : "hub_id";
}
