/** Reads rows of a file: by place in parts of equal length, and page by page in a search. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { client, type Schema, take } from "@/lib/api";

export type FileRow = Schema<"FileRow">;
type Page = Schema<"FileRows">;

export interface Filter {
  finding?: string | undefined;
  search?: string | undefined;
}

/** Rows of a part: a page of a screen needs two or three parts. */
export const PART = 20;

const rowsPage = (
  fileId: string,
  filter: Filter,
  offset: number,
  limit: number,
  signal: AbortSignal,
): Promise<Page> =>
  take(
    client.GET("/v1/files/{file_id}/rows", {
      params: { path: { file_id: fileId }, query: { ...filter, offset, limit } },
      signal,
    }),
  );

/** The rows of a part. An answer ends early where rows are large, so one may not be enough. */
export const partQuery = (fileId: string, finding: string | undefined, part: number) =>
  queryOptions({
    queryKey: ["files", "rows", fileId, finding ?? null, part],
    queryFn: async ({ signal }) => {
      const end = (part + 1) * PART;
      const rows: FileRow[] = [];
      let total = 0;
      let offset: number | null = part * PART;
      while (offset !== null && offset < end) {
        const page: Page = await rowsPage(fileId, { finding }, offset, end - offset, signal);
        rows.push(...page.data);
        total = page.total;
        offset = page.next_offset;
      }
      return { rows, total };
    },
    staleTime: Number.POSITIVE_INFINITY,
    // A part may hold megabytes.
    gcTime: 60_000,
  });

/** The row at a place among all accepted rows. */
export const rowAtQuery = (fileId: string, place: number) =>
  queryOptions({
    queryKey: ["files", "row", fileId, place],
    queryFn: async ({ signal }) => (await rowsPage(fileId, {}, place, 1, signal)).data[0] ?? null,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });

/** The rows that hold a text, as far as they were looked for. */
export const searchQuery = (fileId: string, filter: Filter) =>
  infiniteQueryOptions({
    queryKey: ["files", "found", fileId, filter.finding ?? null, filter.search],
    queryFn: ({ pageParam, signal }) => rowsPage(fileId, filter, pageParam, 50, signal),
    initialPageParam: 0,
    getNextPageParam: (page: Page) => page.next_offset ?? undefined,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });

export const droppedQuery = (fileId: string) =>
  queryOptions({
    queryKey: ["files", "dropped", fileId],
    queryFn: async ({ signal }) => {
      const rows: Schema<"DroppedRow">[] = [];
      for (let more = true; more; ) {
        const query = { offset: rows.length, limit: 100 };
        const page: Schema<"DroppedRows"> = await take(
          client.GET("/v1/files/{file_id}/dropped", {
            params: { path: { file_id: fileId }, query },
            signal,
          }),
        );
        rows.push(...page.data);
        more = page.has_more && page.data.length > 0;
      }
      return rows;
    },
    staleTime: Number.POSITIVE_INFINITY,
  });

export const statisticsQuery = (fileId: string, model: string, maxLength: number) =>
  queryOptions({
    queryKey: ["files", "statistics", fileId, model, maxLength],
    queryFn: ({ signal }) =>
      take(
        client.GET("/v1/files/{file_id}/statistics", {
          params: { path: { file_id: fileId }, query: { model, max_length: maxLength } },
          signal,
        }),
      ),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
