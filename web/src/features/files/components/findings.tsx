import { getRouteApi } from "@tanstack/react-router";
import { Info, TriangleAlert, Wrench, X } from "lucide-react";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Cell, Row, Table } from "@/components/ui/table";
import { hasStep, offerStep, useOfferedSteps, withdrawStep } from "@/features/files/recipe-draft";
import { ROWS_ID } from "@/features/files/rows-id";
import { findingInWords } from "@/features/files/words";
import type { Schema } from "@/lib/api";
import { number } from "@/lib/format";

const route = getRouteApi("/shell/files/$fileId");

type Finding = Schema<"AuditFinding">;

const SEVERITIES = {
  error: { Icon: X, className: "text-rejected" },
  warning: { Icon: TriangleAlert, className: "text-rejected" },
  info: { Icon: Info, className: "text-muted" },
};

/** What the audit found in accepted rows: each finding shows its rows, and offers its repair. */
export function Findings({ fileId, findings }: { fileId: string; findings: Finding[] }) {
  return (
    <Card title="Findings in accepted rows">
      {findings.length === 0 ? (
        <p className="text-muted">Nothing was found.</p>
      ) : (
        <Table
          caption="Findings in accepted rows"
          columns={["Severity", "Rows", "Finding", "Actions"]}
        >
          {findings.map((finding) => (
            <Row key={finding.code}>
              <Cell label="Severity">
                <Severity severity={finding.severity} />
              </Cell>
              <Cell label="Rows" className="md:text-right">
                {number(finding.rows)}
              </Cell>
              <Cell label="Finding">
                <p className="font-medium">{findingInWords(finding.code)}</p>
                <p className="max-w-prose text-muted">{finding.message}</p>
              </Cell>
              <Cell label="Actions">
                <Actions fileId={fileId} finding={finding} />
              </Cell>
            </Row>
          ))}
        </Table>
      )}
    </Card>
  );
}

function Severity({ severity }: Pick<Finding, "severity">) {
  const { Icon, className } = SEVERITIES[severity];
  return (
    <span className={`inline-flex items-center gap-1.5 font-medium ${className}`}>
      <Icon aria-hidden="true" size={16} />
      {severity}
    </span>
  );
}

function Actions({ fileId, finding }: { fileId: string; finding: Finding }) {
  const navigate = route.useNavigate();
  const isShown = route.useSearch().finding === finding.code;
  const offered = useOfferedSteps(fileId);
  const { repair } = finding;
  const name = findingInWords(finding.code);
  const show = async () => {
    await navigate({
      search: ({ finding: _, row: __, q: ___, ...rest }) =>
        isShown ? rest : { ...rest, finding: finding.code },
      resetScroll: false,
    });
    if (!isShown) document.getElementById(ROWS_ID)?.scrollIntoView({ block: "start" });
  };
  return (
    <div className="flex flex-wrap gap-2">
      <Button
        small
        aria-pressed={isShown}
        className="aria-pressed:border-accent aria-pressed:text-accent"
        onClick={show}
      >
        {isShown ? "Show all rows" : "Show rows"}
        <span className="sr-only">of: {name}</span>
      </Button>
      {repair && (
        <Button
          small
          aria-pressed={hasStep(offered, repair)}
          className="aria-pressed:border-accent aria-pressed:text-accent"
          onClick={() =>
            hasStep(offered, repair) ? withdrawStep(fileId, repair) : offerStep(fileId, repair)
          }
        >
          <Wrench aria-hidden="true" size={14} />
          {hasStep(offered, repair) ? "In the recipe" : repairInWords(repair)}
          <span className="sr-only">of: {name}</span>
        </Button>
      )}
    </div>
  );
}

const repairInWords = ({ step }: Schema<"Repair">) =>
  ({ deduplicate: "Keep one of each", drop: "Drop the rows", repair: "Repair the texts" })[step];
