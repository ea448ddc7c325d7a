/** One thing that is wrong with a request, and the field that caused it. */
export type Fault = { message: string; param: string | null };

/** An answer with OpenAI's error object: a sentence, and the field that caused it. */
export class ApiError extends Error {
  /** All that is wrong with the request, the first included. */
  readonly faults: Fault[];

  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly param: string | null = null,
    readonly requestId: string | null = null,
    faults?: Fault[] | null,
  ) {
    super(message);
    this.faults = faults?.length ? faults : [{ message, param }];
    this.name = "ApiError";
  }
}

export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}
