/** One upload, from the choice of the file until the server has stored it. */
import { type Sample, sampled, speed } from "@/features/files/upload-speed";

export type Upload = {
  id: number;
  name: string;
  size: number;
  /** `storing`: all bytes are sent, and the server stores them. `paused`: it can go on. */
  phase: "waiting" | "sending" | "storing" | "paused" | "failed";
  /** The share that was sent, from 0 to 1. */
  share: number;
  /** What went wrong: of a failed upload, and of one that was paused by a lost connection. */
  error: string | null;
  /** Whether it is sent in parts, so that it can be paused. */
  inParts: boolean;
  /** Whether the last request failed and is about to be sent again. */
  isLost: boolean;
  samples: readonly Sample[];
};

export type UploadStep =
  | { type: "wait" }
  | { type: "start" }
  | { type: "sent"; share: number; at: number }
  | { type: "lost" }
  | { type: "pause"; message: string | null }
  | { type: "fail"; message: string };

export function advance(upload: Upload, step: UploadStep): Upload {
  if (upload.phase === "failed") return upload;
  switch (step.type) {
    case "wait":
      return { ...upload, phase: "waiting", error: null };
    case "start":
      return { ...upload, phase: "sending", share: 0, error: null, isLost: false, samples: [] };
    case "sent":
      return upload.phase === "paused" ? upload : sent(upload, step.share, step.at);
    case "lost":
      return { ...upload, isLost: true, samples: [] };
    case "pause":
      return { ...upload, phase: "paused", error: step.message };
    case "fail":
      return { ...upload, phase: "failed", error: step.message };
  }
}

function sent(upload: Upload, reported: number, at: number): Upload {
  const share = Math.min(1, Math.max(upload.share, reported));
  const samples = sampled(upload.samples, { at, sent: share * upload.size });
  return { ...upload, share, samples, isLost: false, phase: share === 1 ? "storing" : "sending" };
}

/** Bytes a second of the last seconds, and the seconds that are left; null until it is known. */
export function pace({ samples, share, size }: Upload) {
  const perSecond = speed(samples);
  const left = perSecond ? ((1 - share) * size) / perSecond : null;
  return { perSecond, left };
}

/** Why a file would be refused; known before gigabytes of it are sent. */
export function refusal({ name, size }: { name: string; size: number }): string | null {
  if (/\.(zip|7z|rar|tar|tgz|xlsx?|docx?|pdf|png|jpe?g)$/i.test(name))
    return "Upload a file of rows: JSON, CSV or Parquet. Of an archive, the file inside.";
  if (size === 0) return "It is empty.";
  return null;
}
