import { useQuery } from "@tanstack/react-query";
import { X } from "lucide-react";
import { useEffect, useState } from "react";
import { Button, buttonClass } from "@/components/ui/button";
import { UploadLine } from "@/features/files/components/upload-item";
import { arrivedOf, discard, requests } from "@/features/files/parts";
import {
  isSameFile,
  type Remembered,
  stopped,
  subscribeToMemory,
} from "@/features/files/upload-memory";
import { ApiError } from "@/lib/api";
import { cx } from "@/lib/cx";
import { bytes, moment } from "@/lib/format";

const LOOK_MS = 5_000;

type Columns = Remembered["columns"];

/** Uploads that a reload or a closed tab stopped. A browser hands out a file only if it is chosen. */
export function StoppedUploads({ add }: { add: (files: File[], columns: Columns) => void }) {
  const [entries, setEntries] = useState(() => stopped());
  useEffect(() => {
    const read = () => setEntries(stopped());
    // An upload whose tab was killed is known as stopped only after some time.
    const timer = setInterval(read, LOOK_MS);
    const end = subscribeToMemory(read);
    return () => {
      clearInterval(timer);
      end();
    };
  }, []);
  if (entries.length === 0) return null;
  return (
    <ul aria-label="Stopped uploads" className="flex flex-col gap-2">
      {entries.map((entry) => (
        <StoppedUpload key={entry.uploadId} entry={entry} add={add} />
      ))}
    </ul>
  );
}

function StoppedUpload(props: {
  entry: Remembered;
  add: (files: File[], columns: Columns) => void;
}) {
  const { entry, add } = props;
  const { name, size, uploadId } = entry;
  const [problem, setProblem] = useState<string | null>(null);
  const found = useQuery({
    queryKey: ["uploads", uploadId],
    queryFn: ({ signal }) => requests.look(uploadId, signal),
    retry: false,
  });
  // Of another account, cancelled or completed elsewhere: there is nothing to go on with.
  const isUnknown = found.error instanceof ApiError && found.error.status === 404;
  if (isUnknown || (found.data && found.data.status !== "pending")) return null;
  const parts = found.data ? arrivedOf(entry, found.data.partIds) : entry.partIds;
  const share = Math.min(1, (parts.length * entry.partBytes) / size);
  const choose = (file: File | undefined) => {
    if (!file) return;
    if (isSameFile(file, entry)) return add([file], entry.columns);
    const isChanged = file.name === name;
    setProblem(
      isChanged
        ? `This ${name} was changed since, or is another one. Upload it as a new file.`
        : `That is ${file.name}. Choose ${name}.`,
    );
  };
  return (
    <UploadLine
      name={name}
      share={share}
      actions={
        <>
          <label
            className={cx(
              buttonClass("plain", true),
              "cursor-pointer has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent",
            )}
          >
            Choose the file
            <input
              type="file"
              className="sr-only"
              aria-label={`Choose ${name} to go on`}
              onChange={(event) => {
                choose(event.target.files?.[0]);
                event.target.value = "";
              }}
            />
          </label>
          <Button look="quiet" small onClick={() => void discard(uploadId)}>
            <X aria-hidden="true" size={16} />
            <span className="sr-only">Discard the upload of {name}</span>
          </Button>
        </>
      }
    >
      <p>
        Upload of {name} stopped at {Math.floor(100 * share)}%. Choose the file again to go on.
      </p>
      <p className="text-sm text-muted">
        {bytes(share * size)} of {bytes(size)} have arrived, and are kept until{" "}
        {moment(entry.expiresAt)}.
      </p>
      {problem && (
        <p role="alert" className="text-rejected">
          {problem}
        </p>
      )}
    </UploadLine>
  );
}
