import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Loading } from "@/components/page";
import { Button, buttonClass } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { TextField } from "@/components/ui/fields";
import { fileQuery } from "@/features/files/api";
import { type Filter, makeFile, type Preview, previewQuery } from "@/features/votes/api";
import { tunedOf } from "@/features/votes/vote";
import { ApiError, type Schema } from "@/lib/api";
import { number } from "@/lib/format";
import { modelsQuery } from "@/lib/queries";
import { becomesText, leftOut } from "@/lib/vote-words";

type File = Schema<"FileObject">;

type Props = {
  filter: Filter;
  /** The models of these votes, the strongest first. */
  voted: readonly string[];
};

/** What the votes of a filter become, and the file that is made of them. */
export function MakeFile({ onClose, ...props }: Props & { onClose: () => void }) {
  const close = (
    <Button small look="quiet" onClick={onClose}>
      Close
    </Button>
  );
  return (
    <Card title="Make a file of pairs" actions={close}>
      <Needs scope="write" lacking="explained">
        <PreviewAndMake {...props} />
      </Needs>
    </Card>
  );
}

function PreviewAndMake({ filter, voted }: Props) {
  const preview = useQuery(previewQuery(filter));
  if (preview.error) return <ErrorPanel error={preview.error} retry={() => preview.refetch()} />;
  if (!preview.data) return <Loading what="Counting what the votes become" />;
  return (
    <div className="flex flex-col gap-4">
      <Counted preview={preview.data} />
      {preview.data.counts.pairs > 0 ? (
        <Make filter={filter} voted={voted} />
      ) : (
        <p>No vote becomes a pair, so there is nothing to make a file of.</p>
      )}
    </div>
  );
}

function Counted({ preview: { counts, contradicted } }: { preview: Preview }) {
  const without = leftOut(counts);
  return (
    <div className="flex max-w-prose flex-col gap-2">
      <p role="status" className="font-medium">
        {becomesText(counts)}
      </p>
      {without.length > 0 && <p className="text-muted">Left out:</p>}
      <ul aria-label="Votes that are left out" className="flex flex-col gap-1">
        {without.map(({ name, count, why }) => (
          <li key={name} className="grid grid-cols-[2.5rem_minmax(0,1fr)] gap-3">
            <span className="text-right font-medium">{number(count)}</span>
            <span>{why}</span>
          </li>
        ))}
      </ul>
      {contradicted.length > 0 && (
        <p className="flex flex-wrap gap-x-4 gap-y-1">
          {contradicted.map((ids, index) => (
            <Link
              key={ids.join()}
              to="/votes"
              search={{ vote: ids.join(",") }}
              className="text-accent underline"
            >
              Show contradiction {index + 1}
            </Link>
          ))}
        </p>
      )}
    </div>
  );
}

function Make({ filter, voted }: Props) {
  const [name, setName] = useState("");
  const queries = useQueryClient();
  const making = useMutation({ mutationFn: () => makeFile(queries, filter, name) });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    making.mutate();
  };
  if (making.data) return <Made file={making.data} voted={voted} />;
  const isNamed = making.error instanceof ApiError && making.error.param === "filename";
  return (
    <form onSubmit={submit} noValidate className="flex max-w-md flex-col items-start gap-3">
      <div className="w-full">
        <TextField
          name="filename"
          label="Name of the file (optional)"
          value={name}
          placeholder="votes.jsonl"
          error={isNamed ? making.error?.message : null}
          onChange={setName}
        />
      </div>
      {making.error && !isNamed && <ErrorPanel error={making.error} />}
      <Button type="submit" look="primary" disabled={making.isPending}>
        {making.isPending ? "Making the file …" : "Make the file"}
      </Button>
    </form>
  );
}

/** The file that was made, and the form of a run that trains on it, once it is checked. */
function Made({ file: made, voted }: { file: File; voted: readonly string[] }) {
  const { data: file = made } = useQuery({ ...fileQuery(made.id), initialData: made });
  const models = useQuery(modelsQuery);
  const tuned = tunedOf(voted, models.data?.data ?? []);
  return (
    <div className="flex flex-col items-start gap-3">
      <p role="status">
        The file{" "}
        <Link
          to="/files/$fileId"
          params={{ fileId: file.id }}
          className="font-medium break-words text-accent underline"
        >
          {file.filename}
        </Link>{" "}
        {file.status === "uploaded" ? "is being checked …" : "is ready."}
      </p>
      {file.status === "error" && <ErrorPanel error={file.status_details ?? "The check failed."} />}
      {file.status === "processed" && (
        <>
          <Link
            to="/jobs/new"
            search={{ file: file.id, from: tuned?.jobId }}
            className={buttonClass("primary")}
          >
            Train on this file
          </Link>
          {tuned && (
            <>
              <Link
                to="/jobs/new"
                search={{ file: file.id, from: tuned.jobId, model: tuned.model }}
                className={buttonClass()}
              >
                Train the tuned model further on it
              </Link>
              <p className="text-sm break-words text-muted">
                The form starts with the settings of{" "}
                <Link
                  to="/jobs/$jobId"
                  params={{ jobId: tuned.jobId }}
                  className="text-accent underline"
                >
                  the run of {tuned.model}
                </Link>
                .
              </p>
            </>
          )}
        </>
      )}
    </div>
  );
}
