import { useQuery } from "@tanstack/react-query";
import { inputClass } from "@/components/ui/field";
import { NAMES, type SideIndex } from "@/features/playground/conversation";
import { deploymentsQuery, modelsQuery } from "@/lib/queries";

/** Every model by name: deployed ones first, then those that must be deployed. */
export function ModelPicker(props: {
  side: SideIndex;
  model: string | undefined;
  onPick: (model: string) => void;
}) {
  const deployments = useQuery(deploymentsQuery);
  const models = useQuery(modelsQuery);
  const ready = new Set(
    deployments.data?.data.filter(({ status }) => status === "ready").map(({ model }) => model),
  );
  const others = new Set(
    models.data?.data
      .filter(({ status, use }) => status === "ready" && use === "chat")
      .map(({ id }) => id),
  );
  // A link may name a checkpoint, which is in no list.
  if (props.model) others.add(props.model);
  const error = deployments.error ?? models.error;
  return (
    <div className="min-w-0 flex-1">
      <select
        aria-label={`Model ${NAMES[props.side]}`}
        className={`${inputClass} truncate pe-8`}
        value={props.model ?? ""}
        onChange={(event) => props.onPick(event.target.value)}
      >
        {!props.model && <option value="">Choose a model</option>}
        <Group name="Ready" ids={[...ready]} />
        <Group
          name={deployments.data ? "Not deployed" : "Models"}
          ids={[...others].filter((id) => !ready.has(id))}
        />
      </select>
      {error && (
        <p role="alert" className="mt-1 text-sm text-rejected">
          {error.message}
        </p>
      )}
    </div>
  );
}

function Group({ name, ids }: { name: string; ids: string[] }) {
  if (ids.length === 0) return null;
  return (
    <optgroup label={name}>
      {ids.map((id) => (
        <option key={id} value={id}>
          {id}
        </option>
      ))}
    </optgroup>
  );
}
