import { useQuery } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Loading, Page } from "@/components/page";
import { jobQuery } from "@/features/jobs/api";
import { nameOf } from "@/features/jobs/job";
import { methodsQuery } from "@/features/jobs/methods";
import { JobForm } from "@/features/jobs/new/job-form";
import { blank, type Form, formOf } from "@/features/jobs/new/new-job";
import { filesQuery, modelsQuery } from "@/lib/queries";

/** The form of a new run: model, files and settings. */
export function NewJobPage() {
  const search = useSearch({ from: "/shell/jobs/new" });
  const methods = useQuery(methodsQuery);
  const models = useQuery(modelsQuery);
  const files = useQuery(filesQuery(1000));
  const parent = useQuery({ ...jobQuery(search.from ?? ""), enabled: search.from !== undefined });
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
      ) : methods.data && models.data && files.data && (!search.from || parent.data) ? (
        <Needs scope="write" lacking="explained">
          <JobForm
            key={search.from}
            methods={methods.data}
            models={models.data.data}
            files={files.data.data}
            initial={initial()}
          />
        </Needs>
      ) : (
        <Loading what="Loading what can be tuned" />
      )}
    </Page>
  );

  function initial(): Form {
    const bases = models.data?.data.filter((model) => model.kind === "base") ?? [];
    const usable = files.data?.data.filter((file) => file.status === "processed") ?? [];
    const base = parent.data ? formOf(parent.data, methods.data ?? []) : blank;
    return {
      ...base,
      model: search.model ?? (base.model || only(bases)),
      training_file: search.file ?? (base.training_file || only(usable)),
    };
  }
}

/** The id of a list's only item: it is selected if there is no other choice. */
const only = (items: { id: string }[]) => (items.length === 1 ? (items[0]?.id ?? "") : "");
