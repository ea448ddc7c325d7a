import { queryOptions } from "@tanstack/react-query";
import { ApiError, client, errorOf, type Schema, take } from "@/lib/api";

export const PURPOSE = "fine-tune";

export type Message = Schema<"MessageObject">;

export const fileQuery = (fileId: string) =>
  queryOptions({
    queryKey: ["files", "one", fileId],
    queryFn: ({ signal }) =>
      take(client.GET("/v1/files/{file_id}", { params: { path: { file_id: fileId } }, signal })),
    refetchInterval: ({ state }) => (state.data?.status === "uploaded" ? 1_000 : false),
  });

export const rowTokensQuery = (fileId: string, line: number, model: string) =>
  queryOptions({
    queryKey: ["files", "tokens", fileId, line, model],
    queryFn: ({ signal }) =>
      take(
        client.GET("/v1/files/{file_id}/rows/{line}/tokens", {
          params: { path: { file_id: fileId, line }, query: { model } },
          signal,
        }),
      ),
    staleTime: Number.POSITIVE_INFINITY,
  });

const MOST_RUNS = 20;

/** The runs that name a file, the newest first. */
export const runsOfFileQuery = (fileId: string) =>
  queryOptions({
    queryKey: ["files", "runs", fileId],
    queryFn: ({ signal }) =>
      take(
        client.GET("/v1/fine_tuning/jobs", {
          params: { query: { file: fileId, limit: MOST_RUNS, archived: "all" } },
          signal,
        }),
      ),
    staleTime: 0,
  });

export const deleteFile = (fileId: string) =>
  take(client.DELETE("/v1/files/{file_id}", { params: { path: { file_id: fileId } } }));

/** Send a whole file in one request. */
export async function sendFile(
  file: File,
  columns: Record<string, string> | null,
  signal: AbortSignal,
  onSent: (share: number) => void,
) {
  const form = new FormData();
  form.append("purpose", PURPOSE);
  if (columns) form.append("columns", JSON.stringify(columns));
  form.append("file", file);
  await sendForm("/v1/files", form, signal, onSent);
}

/** Send a form. Uses XMLHttpRequest, because `fetch` does not report upload progress. */
export function sendForm(
  path: string,
  form: FormData,
  signal: AbortSignal,
  onSent: (share: number) => void,
  headers: Record<string, string> = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = ({ loaded, total }) => onSent(total > 0 ? loaded / total : 0);
    request.upload.onload = () => onSent(1);
    request.onload = async () => {
      const { status, responseText } = request;
      if (status >= 200 && status < 300) return resolve(responseText);
      const id = { "x-request-id": request.getResponseHeader("x-request-id") ?? "" };
      reject(await errorOf(new Response(responseText, { status, headers: id })));
    };
    request.onerror = () =>
      reject(new ApiError(0, "The connection broke off before the whole file had arrived."));
    request.onabort = () => reject(new ApiError(0, "The upload was stopped."));
    signal.addEventListener("abort", () => request.abort());
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(form);
  });
}
