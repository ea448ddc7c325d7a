/** Reads rows of a file: by place in parts of equal length, and page by page in a search. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { client, type Schema, take } from "@/lib/api";

export type FileRow = Schema<"FileRow">;
/** A row as the page shows it; `isUnmasked` if its personal data would be masked by default. */
export type ShownRow = FileRow & { isUnmasked?: boolean };
type Page = Schema<"FileRows">;

export interface Filter {
  finding?: string | undefined;
  search?: string | undefined;
}

export const isMasked = ({ masked }: { masked: boolean }) => masked;

/** Rows of a part: a page of a screen needs two or three parts. */
export const PART = 20;

const rowsPage = (
  fileId: string,
  filter: Filter & { unmask?: boolean },
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

export interface RowsAnswer {
  rows: FileRow[];
  total: number;
}

/** As many rows from an offset on; an answer ends early where rows are large, so one may not do. */
export const rowsQuery = (
  fileId: string,
  filter: Filter,
  place: { offset: number; count: number },
  unmask: boolean,
) =>
  queryOptions({
    queryKey: ["files", "rows", fileId, filter, place, { unmask }] as readonly unknown[],
    queryFn: async ({ signal }): Promise<RowsAnswer> => {
      const rows: FileRow[] = [];
      let total = 0;
      let next: number | null = place.offset;
      while (next !== null && rows.length < place.count) {
        const missing = place.count - rows.length;
        const page: Page = await rowsPage(fileId, { ...filter, unmask }, next, missing, signal);
        rows.push(...page.data);
        total = page.total;
        next = page.next_offset;
      }
      return { rows, total };
    },
    staleTime: Number.POSITIVE_INFINITY,
    // Twenty rows may hold megabytes.
    gcTime: 60_000,
  });

/** The rows of a part: of a finding, or of all accepted rows. */
export const partQuery = (
  fileId: string,
  finding: string | undefined,
  part: number,
  unmask: boolean,
) => rowsQuery(fileId, { finding }, { offset: part * PART, count: PART }, unmask);

/** The row at a place among all accepted rows. */
export const rowAtQuery = (fileId: string, place: number, unmask: boolean) =>
  rowsQuery(fileId, {}, { offset: place, count: 1 }, unmask);

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

export const droppedQuery = (fileId: string, unmask: boolean) =>
  queryOptions({
    queryKey: ["files", "dropped", fileId, { unmask }],
    queryFn: async ({ signal }) => {
      const rows: Schema<"DroppedRow">[] = [];
      for (let more = true; more; ) {
        const query = { offset: rows.length, limit: 100, unmask };
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
