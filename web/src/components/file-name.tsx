import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { InfoMark } from "@/components/info-mark";
import { existingFileQuery } from "@/lib/queries";

/** A file by its name, as a link, with its id and hash behind a mark. */
export function FileName({ id, sha256 }: { id: string; sha256?: string | null }) {
  const { data, isPending } = useQuery(existingFileQuery(id));
  const name = data?.filename ?? (isPending ? "…" : data === null ? "a deleted file" : "a file");
  return (
    <span className="inline-flex max-w-full items-center gap-1">
      {data === null ? (
        <span className="text-muted">{name}</span>
      ) : (
        <Link
          to="/files/$fileId"
          params={{ fileId: id }}
          className="min-w-0 break-words text-accent underline"
        >
          {name}
        </Link>
      )}
      <InfoMark
        about={data ? name : "the file"}
        facts={[
          ["Id", id],
          ["SHA-256", sha256 ?? data?.sha256],
        ]}
      />
    </span>
  );
}
