import { queryOptions } from "@tanstack/react-query";
import type { RecipeStep } from "@/features/files/recipe-draft";
import { client, take } from "@/lib/api";

const place = (fileId: string) => ({ path: { file_id: fileId } });

/** The first versions that were made of a file; asked again while one is being made. */
export const versionsQuery = (fileId: string) =>
  queryOptions({
    queryKey: ["files", "versions", fileId],
    queryFn: ({ signal }) =>
      take(client.GET("/v1/files/{file_id}/versions", { params: place(fileId), signal })),
    refetchInterval: ({ state }) =>
      state.data?.data.some(({ status }) => status === "uploaded") ? 1_000 : false,
  });

export const previewRecipe = (fileId: string, recipe: RecipeStep[]) =>
  take(
    client.POST("/v1/files/{file_id}/versions/preview", {
      params: place(fileId),
      body: { recipe },
    }),
  );

export const makeVersion = (fileId: string, recipe: RecipeStep[]) =>
  take(client.POST("/v1/files/{file_id}/versions", { params: place(fileId), body: { recipe } }));
