import { Link } from "@tanstack/react-router";
import { Card } from "@/components/ui/card";
import { State } from "@/components/ui/state";
import { Cell, Row, Table } from "@/components/ui/table";
import type { Engine } from "@/features/system/api";
import { bytes } from "@/lib/format";

/** The engines that serve this organisation's models. */
export function EnginesCard({ engines }: { engines: readonly Engine[] }) {
  return (
    <Card
      title="Engines"
      actions={
        <Link to="/deployments" className="text-sm text-accent underline">
          Deployments
        </Link>
      }
    >
      {engines.length === 0 ? (
        <p className="text-muted">No engine runs: deploy a model to start one.</p>
      ) : (
        <Table caption="Engines" columns={["Weights", "State", "Device", "Memory", "Models"]}>
          {engines.map((engine) => (
            <Row key={engine.id}>
              <Cell label="Weights" className="md:max-w-72">
                <span className="font-medium">{engine.served_name}</span>
              </Cell>
              <Cell label="State">
                <State value={engine.status} />
              </Cell>
              <Cell label="Device">
                {engine.device}
                {engine.host && <span className="text-muted"> on {engine.host}</span>}
              </Cell>
              <Cell label="Memory" className="whitespace-nowrap">
                <span title="Main memory of its processes; memory of a GPU is not counted.">
                  {bytes(engine.memory_bytes)}
                </span>
              </Cell>
              <Cell label="Models">
                <Models engine={engine} />
              </Cell>
            </Row>
          ))}
        </Table>
      )}
    </Card>
  );
}

function Models({ engine: { models } }: { engine: Engine }) {
  if (models.length === 0) return <span className="text-muted">of other organisations</span>;
  return (
    <ul className="flex flex-col gap-1">
      {models.map(({ deployment_id, model, status, adapter }) => (
        <li key={deployment_id} className="break-words">
          {model}
          <span className="text-muted">
            {" "}
            {adapter ? "as an adapter" : "whole weights"}
            {status !== "ready" && `, ${status}`}
          </span>
        </li>
      ))}
    </ul>
  );
}
