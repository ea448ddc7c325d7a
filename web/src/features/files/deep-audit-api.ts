/** Deep audits of a file, and the pairs that they judged. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { hasEnded } from "@/features/files/deep-audit";
import { client, type Schema, take } from "@/lib/api";

export type DeepAudit = Schema<"DeepAuditObject">;
export type JudgedPair = Schema<"JudgedPair">;

const PAIRS_PATH = "/v1/files/{file_id}/deep_audits/{audit_id}/pairs";
const ofFile = (fileId: string) => ({ path: { file_id: fileId } });
const ofAudit = (fileId: string, auditId: string) => ({
  path: { file_id: fileId, audit_id: auditId },
});

/** The deep audits of a file, the newest first; read again each second while one runs. */
export const auditsQuery = (fileId: string) =>
  queryOptions({
    queryKey: ["files", "deep-audits", fileId],
    queryFn: ({ signal }) =>
      take(client.GET("/v1/files/{file_id}/deep_audits", { params: ofFile(fileId), signal })),
    refetchInterval: ({ state }) =>
      state.data?.data.some((audit) => !hasEnded(audit)) ? 1_000 : false,
  });

export const startAudit = (fileId: string, model: string) =>
  take(client.POST("/v1/files/{file_id}/deep_audits", { params: ofFile(fileId), body: { model } }));

export const cancelAudit = (fileId: string, auditId: string) =>
  take(
    client.POST("/v1/files/{file_id}/deep_audits/{audit_id}/cancel", {
      params: ofAudit(fileId, auditId),
    }),
  );

export const deleteAudit = (fileId: string, auditId: string) =>
  take(
    client.DELETE("/v1/files/{file_id}/deep_audits/{audit_id}", {
      params: ofAudit(fileId, auditId),
    }),
  );

const pairsPage = (
  fileId: string,
  auditId: string,
  query: { offset: number; limit: number },
  signal?: AbortSignal,
): Promise<Schema<"JudgedPairs">> =>
  take(client.GET(PAIRS_PATH, { params: { ...ofAudit(fileId, auditId), query }, signal }));

const SHOWN = 20;

/** The judged pairs of an audit that has succeeded, page by page, the most suspicious first. */
export const judgedQuery = (fileId: string, auditId: string) =>
  infiniteQueryOptions({
    queryKey: ["files", "judged", fileId, auditId],
    queryFn: ({ pageParam, signal }) =>
      pairsPage(fileId, auditId, { offset: pageParam, limit: SHOWN }, signal),
    initialPageParam: 0,
    getNextPageParam: ({ offset, data, total }: Schema<"JudgedPairs">) =>
      data.length > 0 && offset + data.length < total ? offset + data.length : undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });

/** The lines of all pairs with an opinion. Each opinion covers ranks that follow each other. */
export async function linesOf(fileId: string, auditId: string, opinion: string) {
  const lines: number[] = [];
  for (let offset = 0; ; ) {
    const { data, total } = await pairsPage(fileId, auditId, { offset, limit: 1000 });
    lines.push(...data.filter((pair) => pair.opinion === opinion).map(({ line }) => line));
    offset += data.length;
    const isPast = lines.length > 0 && data.at(-1)?.opinion !== opinion;
    if (data.length === 0 || offset >= total || isPast) return lines;
  }
}
