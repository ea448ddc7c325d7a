/** One upload, from the choice of the file until the server has stored it. */
export type Upload = {
  id: number;
  name: string;
  size: number;
  /** `storing`: all bytes are sent, and the server stores them. */
  phase: "waiting" | "sending" | "storing" | "failed";
  /** The share that was sent, from 0 to 1. */
  share: number;
  error: string | null;
};

export type UploadStep =
  | { type: "start" }
  | { type: "sent"; share: number }
  | { type: "fail"; message: string };

export function advance(upload: Upload, step: UploadStep): Upload {
  if (upload.phase === "failed") return upload;
  switch (step.type) {
    case "start":
      return { ...upload, phase: "sending", share: 0 };
    case "sent": {
      const share = Math.min(1, Math.max(upload.share, step.share));
      return { ...upload, share, phase: share === 1 ? "storing" : "sending" };
    }
    case "fail":
      return { ...upload, phase: "failed", error: step.message };
  }
}

/** Why a file would be refused; known before gigabytes of it are sent. */
export function refusal({ name, size }: { name: string; size: number }): string | null {
  if (/\.(zip|7z|rar|tar|tgz|xlsx?|docx?|pdf|png|jpe?g)$/i.test(name))
    return "Upload a file of rows: JSON, CSV or Parquet. Of an archive, the file inside.";
  if (size === 0) return "It is empty.";
  return null;
}
