import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Trash2 } from "lucide-react";
import { useState } from "react";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { Button } from "@/components/ui/button";
import { deleteFile, runsOfFileQuery } from "@/features/files/api";
import { nameOf } from "@/lib/run-name";

export function DeleteFile(props: {
  fileId: string;
  filename: string;
  small?: boolean;
  onDeleted?: () => Promise<unknown>;
}) {
  const queries = useQueryClient();
  const [isAsked, setAsked] = useState(false);
  const remove = async () => {
    await deleteFile(props.fileId);
    await props.onDeleted?.();
    await queries.invalidateQueries({ queryKey: ["files", "list"] });
  };
  return (
    <ConfirmDialog
      title={`Delete ${props.filename}?`}
      confirm="Delete the file"
      onConfirm={remove}
      onOpen={() => setAsked(true)}
      trigger={
        props.small ? (
          <Button look="quiet" small aria-label={`Delete ${props.filename}`}>
            <Trash2 aria-hidden="true" size={16} />
          </Button>
        ) : (
          <Button>
            <Trash2 aria-hidden="true" size={16} />
            Delete
          </Button>
        )
      }
    >
      Its pairs and its report are removed for good. Models trained on it stay. A file that a run
      still needs can't be deleted.
      {isAsked && <Runs fileId={props.fileId} />}
    </ConfirmDialog>
  );
}

/** The runs that name the file: they can't be repeated without it. */
export function Runs({ fileId }: { fileId: string }) {
  const { data, error, isPending } = useQuery(runsOfFileQuery(fileId));
  if (isPending) return <p className="mt-2">Looking for runs that used it …</p>;
  if (error) return <p className="mt-2">The runs that used it can't be listed: {error.message}</p>;
  if (data.data.length === 0) return <p className="mt-2">No run used it.</p>;
  return (
    <div className="mt-2 text-ink">
      <p>
        {data.data.length === 1 && !data.has_more
          ? "This run used it and can't be repeated without it:"
          : "These runs used it and can't be repeated without it:"}
      </p>
      <ul className="list-disc ps-5">
        {data.data.map(({ id, name, status }) => (
          <li key={id} className="break-words">
            <Link to="/jobs/$jobId" params={{ jobId: id }} className="text-accent underline">
              {nameOf({ id, name })}
            </Link>{" "}
            ({status.replaceAll("_", " ")})
          </li>
        ))}
        {data.has_more && <li>and more</li>}
      </ul>
    </div>
  );
}
