/** Objects that the API's document does not have yet, and a call of their routes. */
import type { Agreement } from "@/features/evaluations/objects";
import { errorOf } from "@/lib/api";
import { ApiError } from "@/lib/api-error";

export type Judge = {
  id: string;
  created_at: number;
  name: string;
  kind: "openai" | "deployment" | "reward";
  model: string;
  base_url: string | null;
  secret: string | null;
  agreement: Record<string, Agreement>;
};

export type CreateJudge = {
  kind: Judge["kind"];
  model: string;
  name?: string | null;
  base_url?: string | null;
  secret?: string | null;
};

export type List<Item> = { data: Item[]; has_more: boolean; last_id: string | null };

export async function call<Data>(
  method: "GET" | "POST" | "DELETE",
  path: string,
  options: {
    query?: Record<string, string | number | undefined>;
    body?: unknown;
    signal?: AbortSignal;
  } = {},
): Promise<Data> {
  const given = Object.entries(options.query ?? {}).filter(([, value]) => value !== undefined);
  const search = new URLSearchParams(
    given.map(([name, value]) => [name, String(value)]),
  ).toString();
  const response = await fetch(`${path}${search && `?${search}`}`, {
    method,
    credentials: "same-origin",
    headers: { "Content-Type": "application/json" },
    body: options.body === undefined ? undefined : JSON.stringify(options.body),
    signal: options.signal,
  }).catch(() => {
    throw new ApiError(0, "The server can't be reached. It may be restarting; try again.");
  });
  if (!response.ok) throw await errorOf(response);
  return response.json();
}
