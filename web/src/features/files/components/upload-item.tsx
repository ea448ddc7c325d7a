import { Pause, Play, X } from "lucide-react";
import type { ReactNode } from "react";
import { Bar } from "@/components/ui/bar";
import { Button } from "@/components/ui/button";
import { pace, type Upload } from "@/features/files/upload-state";
import { endUpload, pauseUpload, resumeUpload } from "@/features/files/uploads";
import { cx } from "@/lib/cx";
import { bytes, duration } from "@/lib/format";

/** An upload of this tab: how far it is, how fast, and the buttons that stop it. */
export function UploadItem({ upload }: { upload: Upload }) {
  const { id, name, phase, share } = upload;
  const hasFailed = phase === "failed";
  return (
    <UploadLine
      name={name}
      hasFailed={hasFailed}
      share={hasFailed ? null : share}
      actions={
        <>
          {upload.inParts && (phase === "sending" || phase === "waiting") && (
            <Button look="quiet" small onClick={() => pauseUpload(id)}>
              <Pause aria-hidden="true" size={16} />
              <span className="sr-only">Pause {name}</span>
            </Button>
          )}
          {phase === "paused" && (
            <Button small onClick={() => resumeUpload(id)}>
              <Play aria-hidden="true" size={14} />
              Go on
              <span className="sr-only"> with {name}</span>
            </Button>
          )}
          <Button
            look="quiet"
            small
            aria-label={hasFailed ? `Dismiss ${name}` : `Stop uploading ${name}`}
            onClick={() => endUpload(id)}
          >
            <X aria-hidden="true" size={16} />
          </Button>
        </>
      }
    >
      {upload.error && (
        <p role="alert" className="text-rejected">
          {upload.error}
        </p>
      )}
      {!hasFailed && <p className="text-sm text-muted">{progressOf(upload)}</p>}
    </UploadLine>
  );
}

/** A line of the list of uploads. `share` is what was sent, from 0 to 1; null hides the bar. */
export function UploadLine(props: {
  name: string;
  hasFailed?: boolean;
  share: number | null;
  actions: ReactNode;
  children: ReactNode;
}) {
  return (
    <li
      className={cx(
        "flex flex-wrap items-start gap-x-3 gap-y-2 rounded-lg border bg-surface p-3",
        props.hasFailed ? "border-rejected" : "border-line",
      )}
    >
      <div className="flex min-w-0 flex-[1_1_16rem] flex-col gap-1">
        <p className="font-medium break-words">{props.name}</p>
        {props.share !== null && <Bar label={`Upload of ${props.name}`} share={props.share} />}
        {props.children}
      </div>
      <div className="ml-auto flex items-center gap-1">{props.actions}</div>
    </li>
  );
}

export function progressOf(upload: Upload): string {
  const { phase, share, size } = upload;
  const done = `${bytes(share * size)} of ${bytes(size)}, ${Math.floor(100 * share)}%`;
  if (phase === "waiting") return `${bytes(size)}, waits for the one before it`;
  if (phase === "storing") return `${bytes(size)} sent, the server stores it`;
  if (phase === "paused") return `Paused: ${done}`;
  if (upload.isLost) return `${done}. The connection is lost; it is tried again.`;
  const { perSecond, left } = pace(upload);
  if (perSecond === null || left === null) return done;
  return `${done}, ${bytes(perSecond)}/s, ${duration(left)} left`;
}
