/** The API client of the page: typed by the OpenAPI document, with errors as sentences. */
import createClient from "openapi-fetch";
import type { components, paths } from "@/generated/api";
import { ApiError } from "@/lib/api-error";

export { ApiError, isSignedOut } from "@/lib/api-error";

export type Schema<Name extends keyof components["schemas"]> = components["schemas"][Name];

/** The error of a failed response, from the API or from a proxy. */
export async function errorOf(response: Response): Promise<ApiError> {
  const body = await response.json().catch(() => null);
  return errorFrom(body, response);
}

function errorFrom(body: unknown, response: Response): ApiError {
  const said = (body as { error?: Partial<Schema<"Error">> } | null)?.error;
  return new ApiError(
    response.status,
    said?.message ?? `The server answered with HTTP ${response.status}.`,
    said?.code ?? null,
    said?.param ?? null,
    response.headers.get("x-request-id"),
    said?.errors,
  );
}

export const client = createClient<paths>({ baseUrl: "/", credentials: "same-origin" });

/** Unwrap an answer of `client`: its data, or an ApiError. */
export async function take<Data>(
  answer: Promise<{ data?: Data; error?: unknown; response: Response }>,
): Promise<Data> {
  const { data, error, response } = await answer.catch(() => {
    throw new ApiError(0, "The server can't be reached. It may be restarting; try again.");
  });
  if (!response.ok) throw errorFrom(error, response);
  return data as Data;
}
