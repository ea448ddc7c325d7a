import { useQueryClient } from "@tanstack/react-query";
import { Upload as UploadIcon } from "lucide-react";
import { lazy, Suspense, useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { Loading } from "@/components/page";
import { buttonClass } from "@/components/ui/button";
import { type Columns, columnsOf } from "@/features/files/column-draft";
import { StoppedUploads } from "@/features/files/components/stopped-uploads";
import { UploadItem } from "@/features/files/components/upload-item";
import { addUploads, currentUploads, subscribe } from "@/features/files/uploads";
import { cx } from "@/lib/cx";

const ColumnNames = lazy(() => import("@/features/files/components/column-names"));

/** Takes files from a dialog or dropped anywhere on the page, and shows the progress of each. */
export function Uploader() {
  const queries = useQueryClient();
  const uploads = useSyncExternalStore(subscribe, currentUploads);
  const [named, setNamed] = useState<Columns | null>(null);
  const add = useCallback(
    (files: Iterable<File>, columns: Columns | null) =>
      addUploads(files, () => queries.invalidateQueries({ queryKey: ["files", "list"] }), columns),
    [queries],
  );
  const take = useCallback((files: File[]) => add(files, named && columnsOf(named)), [add, named]);
  const isOver = useDroppedFiles(take);
  const running = uploads.filter(({ phase }) => phase !== "failed" && phase !== "paused").length;
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
              take([...(event.target.files ?? [])]);
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
        <label className="flex w-full items-center gap-2">
          <input
            type="checkbox"
            className="size-4 accent-accent"
            checked={named !== null}
            onChange={(event) => setNamed(event.target.checked ? {} : null)}
          />
          Columns have other names
        </label>
        {named && (
          <div className="w-full">
            <Suspense fallback={<Loading />}>
              <ColumnNames draft={named} onChange={setNamed} />
            </Suspense>
          </div>
        )}
      </div>
      <p role="status" className="sr-only">
        {running > 0 && `Uploads under way: ${running}`}
      </p>
      <StoppedUploads add={add} />
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
