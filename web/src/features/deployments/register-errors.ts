import { ApiError } from "@/lib/api";

export type Source = "folder" | "hub";
type Field = "path" | "hub_id" | "revision" | "id";

/**
 * The field of the form that an error belongs to, or null. The API says `id` both of the name
 * here and of the hub's model: what names the hub's id, and no other, is about that one.
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
