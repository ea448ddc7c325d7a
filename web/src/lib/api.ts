/** The API client of the page: typed by the OpenAPI document, with errors as sentences. */
import createClient from "openapi-fetch";
import type { components, paths } from "@/generated/api";

export type Schema<Name extends keyof components["schemas"]> = components["schemas"][Name];

/** An answer with OpenAI's error object: a sentence, and the field that caused it. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly param: string | null = null,
    readonly requestId: string | null = null,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

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
