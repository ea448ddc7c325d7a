import { useQueries, useQuery } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Loading, Page } from "@/components/page";
import { type Job, jobQuery } from "@/features/jobs/api";
import { methodsQuery } from "@/features/jobs/methods";
import { JobForm } from "@/features/jobs/new/job-form";
import { blank, type Form, formOf, type Gone, withoutGone } from "@/features/jobs/new/new-job";
import type { Schema } from "@/lib/api";
import { unusable } from "@/lib/file-options";
import { existingFileQuery, filesQuery, modelsQuery } from "@/lib/queries";
import { nameOf } from "@/lib/run-name";

/** The form of a new run: model, files and settings. */
export function NewJobPage() {
  const search = useSearch({ from: "/shell/jobs/new" });
  const methods = useQuery(methodsQuery);
  const models = useQuery(modelsQuery);
  const files = useQuery(filesQuery(1000));
  const parent = useQuery({ ...jobQuery(search.from ?? ""), enabled: search.from !== undefined });
  const unlisted = useUnlisted(parent.data, files.data);
  const asked = [methods, models, files, ...(search.from ? [parent] : [])];
  const failed = asked.find((query) => query.error);
  const lead = parent.data && (
    <>
      With the settings of{" "}
      <Link to="/jobs/$jobId" params={{ jobId: parent.data.id }} className="text-accent underline">
        {nameOf(parent.data)}
      </Link>
    </>
  );
  return (
    <Page title="New run" lead={lead}>
      {failed ? (
        <ErrorPanel error={failed.error} retry={() => failed.refetch()} />
      ) : methods.data &&
        models.data &&
        files.data &&
        (!search.from || (parent.data && unlisted)) ? (
        <Needs scope="write" lacking="explained">
          <JobForm
            key={search.from}
            methods={methods.data}
            models={models.data.data}
            files={[...files.data.data, ...(unlisted ?? [])]}
            {...initial()}
          />
        </Needs>
      ) : (
        <Loading what="Loading what can be tuned" />
      )}
    </Page>
  );

  function initial(): { initial: Form; gone: Gone } {
    const bases = models.data?.data.filter((model) => model.kind === "base") ?? [];
    const known = [...(files.data?.data ?? []), ...(unlisted ?? [])];
    const usable = known.filter((file) => unusable(file, "answers") === null);
    const { form, gone } = parent.data
      ? withoutGone(
          formOf(parent.data, methods.data ?? []),
          (id) => known.some((file) => file.id === id),
          nameOf(parent.data),
        )
      : { form: blank, gone: {} };
    const onlyFile = parent.data ? "" : only(usable);
    return {
      initial: {
        ...form,
        model: search.model ?? (form.model || only(bases)),
        training_file: search.file ?? (form.training_file || onlyFile),
      },
      gone,
    };
  }
}

/**
 * The files of the run that is repeated which the list of files does not hold, because it is cut;
 * without those that were deleted. Undefined while they are read.
 */
function useUnlisted(
  parent: Job | undefined,
  files: { data: Schema<"FileObject">[] } | undefined,
): Schema<"FileObject">[] | undefined {
  const ids = [parent?.training_file, parent?.validation_file].filter(
    (id) => id && files && !files.data.some((file) => file.id === id),
  );
  const found = useQueries({ queries: ids.map((id) => existingFileQuery(id ?? "")) });
  if (!files || found.some(({ isPending }) => isPending)) return undefined;
  return found.flatMap(({ data }) => data ?? []);
}

/** The id of a list's only item: it is selected if there is no other choice. */
const only = (items: { id: string }[]) => (items.length === 1 ? (items[0]?.id ?? "") : "");
