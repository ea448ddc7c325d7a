import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { lazy, type ReactNode, Suspense } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { InfoMark } from "@/components/info-mark";
import { Needs } from "@/components/needs";
import { Loading, Page } from "@/components/page";
import { buttonClass } from "@/components/ui/button";
import { fileQuery, PURPOSE } from "@/features/files/api";
import { DeepAuditPanel } from "@/features/files/components/deep-audit-panel";
import { DeleteFile } from "@/features/files/components/delete-file";
import { FileProgress, FileState } from "@/features/files/components/file-state";
import { Findings } from "@/features/files/components/findings";
import { MadeFrom } from "@/features/files/components/made-from";
import { Report } from "@/features/files/components/report";
import { Rows } from "@/features/files/components/rows";
import { Statistics } from "@/features/files/components/statistics";
import { Verdict } from "@/features/files/components/verdict";
import { UnmaskProvider } from "@/features/files/unmask";
import type { Schema } from "@/lib/api";
import { ago, bytes, moment } from "@/lib/format";
import { fileReportQuery } from "@/lib/queries";

const Mapping = lazy(() => import("@/features/files/components/mapping"));
const OverlapPanel = lazy(() => import("@/features/files/components/overlap-panel"));
const Versions = lazy(() => import("@/features/files/components/versions"));

const route = getRouteApi("/shell/files/$fileId");

export function FilePage() {
  const { fileId } = route.useParams();
  const file = useQuery(fileQuery(fileId));
  if (!file.data)
    return (
      <Page title="File">
        {file.error ? (
          <ErrorPanel error={file.error} retry={() => file.refetch()} />
        ) : (
          <Loading what="Loading the file" />
        )}
      </Page>
    );
  return (
    <Page
      title={file.data.filename}
      heading={
        <>
          {file.data.filename}{" "}
          <InfoMark
            about={file.data.filename}
            facts={[
              ["Id", file.data.id],
              ["SHA-256", file.data.sha256],
            ]}
          />
        </>
      }
      lead={<Facts file={file.data} />}
      actions={<Actions file={file.data} />}
    >
      {file.error && <ErrorPanel error={file.error} retry={() => file.refetch()} />}
      {file.data.made_from && <MadeFrom from={file.data.made_from} />}
      <UnmaskProvider key={fileId}>
        <Content file={file.data} />
      </UnmaskProvider>
    </Page>
  );
}

function Facts({ file }: { file: Schema<"FileObject"> }) {
  return (
    <div className="flex flex-wrap items-center gap-x-4 gap-y-1">
      <FileState file={file} />
      <span>{bytes(file.bytes)}</span>
      <span title={moment(file.created_at)}>{ago(file.created_at)}</span>
    </div>
  );
}

function Actions({ file }: { file: Schema<"FileObject"> }) {
  const navigate = route.useNavigate();
  return (
    <>
      {file.status === "processed" && file.purpose === PURPOSE && (
        <Needs scope="write" lacking="hidden">
          <Link to="/jobs/new" search={{ file: file.id }} className={buttonClass("primary")}>
            Train on this file
          </Link>
        </Needs>
      )}
      <a
        href={`/v1/files/${encodeURIComponent(file.id)}/content`}
        download={file.filename}
        className={buttonClass()}
      >
        <Download aria-hidden="true" size={16} />
        Download
      </a>
      <Needs scope="write">
        <DeleteFile
          fileId={file.id}
          filename={file.filename}
          onDeleted={() => navigate({ to: "/files" })}
        />
      </Needs>
    </>
  );
}

/** A file whose check failed has no report; the file itself holds the reason. */
function NoReport(props: { file: Schema<"FileObject">; error: Error; retry: () => void }) {
  const reason = props.file.status_details;
  return reason ? <ErrorPanel error={reason} /> : <ErrorPanel {...props} />;
}

function Content({ file }: { file: Schema<"FileObject"> }): ReactNode {
  const isInput = file.purpose === PURPOSE;
  const report = useQuery({
    ...fileReportQuery(file.id),
    enabled: isInput && file.status !== "uploaded",
  });
  if (!isInput) return <p>A run left this table of its results. Download it to read it.</p>;
  if (file.status === "uploaded") return <FileProgress file={file} />;
  return (
    <>
      {report.isPending && <Loading what="Loading the report" />}
      {report.error && <NoReport file={file} error={report.error} retry={report.refetch} />}
      {report.data && <Found file={file} report={report.data} />}
    </>
  );
}

/** What was found in a file: the verdict first, then what it rests on. */
function Found({ file, report }: { file: Schema<"FileObject">; report: Schema<"FileReport"> }) {
  const fileId = file.id;
  const audit = report.audit ?? null;
  const { accepted } = report;
  return (
    <>
      {accepted > 0 && <Verdict audit={audit} failure={report.audit_failure ?? null} />}
      {audit && <Findings fileId={fileId} findings={audit.findings} />}
      {accepted > 0 && <Rows fileId={fileId} accepted={accepted} />}
      {accepted > 0 && <DeepAuditPanel fileId={fileId} accepted={accepted} />}
      {accepted > 0 && (
        <Suspense fallback={<Loading what="Loading the comparison" />}>
          <OverlapPanel fileId={fileId} />
        </Suspense>
      )}
      {accepted > 0 && (
        <Suspense fallback={<Loading what="Loading the versions" />}>
          <Versions file={file} />
        </Suspense>
      )}
      {accepted === 0 && report.rows > 0 && (
        <Suspense fallback={<Loading what="Loading the columns" />}>
          <Mapping key={fileId} file={file} suggested={report.suggested_columns ?? null} />
        </Suspense>
      )}
      <Report fileId={fileId} report={report} />
      {accepted > 0 && <Statistics fileId={fileId} />}
    </>
  );
}
