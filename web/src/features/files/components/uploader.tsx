import { useQueryClient } from "@tanstack/react-query";
import { Upload as UploadIcon, X } from "lucide-react";
import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { Button, buttonClass } from "@/components/ui/button";
import type { Upload } from "@/features/files/upload-state";
import { addUploads, currentUploads, endUpload, subscribe } from "@/features/files/uploads";
import { cx } from "@/lib/cx";
import { bytes } from "@/lib/format";

// Chromium draws a bar with a set size in green, whatever the accent colour is.
const barClass =
  "h-2 w-full appearance-none overflow-hidden rounded-md border border-line bg-bg " +
  "[&::-moz-progress-bar]:bg-accent [&::-webkit-progress-bar]:bg-bg [&::-webkit-progress-value]:bg-accent";

/** Takes files from a dialog or dropped anywhere on the page, and shows the progress of each. */
export function Uploader() {
  const queries = useQueryClient();
  const uploads = useSyncExternalStore(subscribe, currentUploads);
  const add = useCallback(
    (files: Iterable<File>) =>
      addUploads(files, () => queries.invalidateQueries({ queryKey: ["files", "list"] })),
    [queries],
  );
  const isOver = useDroppedFiles(add);
  const running = uploads.filter(({ phase }) => phase !== "failed").length;
  useWarningBeforeLeaving(running > 0);
  return (
    <div className="flex flex-col gap-3">
      <div
        className={cx(
          "flex flex-wrap items-center gap-x-4 gap-y-2 rounded-lg border border-dashed p-4",
          isOver ? "border-accent bg-surface" : "border-line",
        )}
      >
        <label
          className={cx(
            buttonClass("primary"),
            "cursor-pointer has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent",
          )}
        >
          <UploadIcon aria-hidden="true" size={16} />
          Upload files
          <input
            type="file"
            multiple
            accept=".jsonl,.ndjson,.json,.csv,.tsv,.parquet,.gz,.zst,.txt"
            className="sr-only"
            onChange={(event) => {
              add([...(event.target.files ?? [])]);
              // Reset, so that choosing the same file again (after a correction) fires a change
              // event.
              event.target.value = "";
            }}
          />
        </label>
        <p className="min-w-0 text-muted">
          {isOver
            ? "Let go to upload."
            : "Or drop them here. JSON, CSV or Parquet with a prompt, a chosen and a rejected answer in each row."}
        </p>
      </div>
      <p role="status" className="sr-only">
        {running > 0 && `Uploads under way: ${running}`}
      </p>
      {uploads.length > 0 && (
        <ul aria-label="Uploads" className="flex flex-col gap-2">
          {uploads.map((upload) => (
            <UploadItem key={upload.id} upload={upload} />
          ))}
        </ul>
      )}
    </div>
  );
}

function UploadItem({ upload }: { upload: Upload }) {
  const { id, name, phase } = upload;
  const hasFailed = phase === "failed";
  return (
    <li
      className={cx(
        "flex items-start gap-3 rounded-lg border bg-surface p-3",
        hasFailed ? "border-rejected" : "border-line",
      )}
    >
      <div className="min-w-0 flex-1">
        <p className="font-medium break-words">{name}</p>
        {hasFailed ? (
          <p role="alert" className="text-rejected">
            {upload.error}
          </p>
        ) : (
          <>
            <progress
              aria-label={`Upload of ${name}`}
              max={1}
              value={upload.share}
              className={barClass}
            />
            <p className="text-sm text-muted">{progressOf(upload)}</p>
          </>
        )}
      </div>
      <Button
        look="quiet"
        small
        aria-label={hasFailed ? `Dismiss ${name}` : `Stop uploading ${name}`}
        onClick={() => endUpload(id)}
      >
        <X aria-hidden="true" size={16} />
      </Button>
    </li>
  );
}

function progressOf({ phase, share, size }: Upload): string {
  if (phase === "waiting") return `${bytes(size)}, waits for the one before it`;
  if (phase === "storing") return `${bytes(size)} sent, the server stores it`;
  return `${bytes(share * size)} of ${bytes(size)}, ${Math.floor(100 * share)}%`;
}

/** Listens on the whole page: without this, a file dropped elsewhere would replace the page. */
function useDroppedFiles(take: (files: File[]) => void): boolean {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files");
    const over = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      setOver(false);
      take([...(event.dataTransfer?.files ?? [])]);
    };
    window.addEventListener("dragover", over);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragover", over);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
    };
  }, [take]);
  return isOver;
}

function useWarningBeforeLeaving(isBusy: boolean) {
  useEffect(() => {
    if (!isBusy) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", warn);
    return () => window.removeEventListener("beforeunload", warn);
  }, [isBusy]);
}
