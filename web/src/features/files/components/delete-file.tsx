import { useQueryClient } from "@tanstack/react-query";
import { Trash2 } from "lucide-react";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { Button } from "@/components/ui/button";
import { deleteFile } from "@/features/files/api";

export function DeleteFile(props: {
  fileId: string;
  filename: string;
  small?: boolean;
  onDeleted?: () => Promise<unknown>;
}) {
  const queries = useQueryClient();
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
      Its pairs and its report are removed for good. Models trained on it stay. A file that a job
      still needs can't be deleted.
    </ConfirmDialog>
  );
}
