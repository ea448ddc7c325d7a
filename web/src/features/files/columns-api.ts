/** Reads a file again under other column names, and the first rows of one that has no pair. */
import { queryOptions } from "@tanstack/react-query";
import { type Columns, cellsOf, type FirstRow } from "@/features/files/column-draft";
import { isMasked } from "@/features/files/rows-api";
import { client, take } from "@/lib/api";

const FIRST = 20;

/** The first dropped rows of a file as columns, without those that are no objects. */
export const firstRowsQuery = (fileId: string, unmask: boolean) =>
  queryOptions({
    queryKey: ["files", "first", fileId, { unmask }],
    queryFn: async ({ signal }) => {
      const params = { path: { file_id: fileId }, query: { limit: FIRST, unmask } };
      const page = await take(client.GET("/v1/files/{file_id}/dropped", { params, signal }));
      const rows = page.data.map(({ text, first_character }) =>
        text !== null && first_character === 1 ? cellsOf(text) : null,
      );
      return {
        rows: rows.filter((row): row is FirstRow => row !== null),
        isMasked: page.data.some(isMasked),
      };
    },
    staleTime: Number.POSITIVE_INFINITY,
  });

export const rereadFile = (fileId: string, columns: Columns) =>
  take(
    client.POST("/v1/files/{file_id}/rereads", {
      params: { path: { file_id: fileId } },
      body: { columns },
    }),
  );
