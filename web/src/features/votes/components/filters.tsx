import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Button } from "@/components/ui/button";
import { inputClass } from "@/components/ui/field";
import type { Filter } from "@/features/votes/api";
import { cx } from "@/lib/cx";
import { modelsQuery } from "@/lib/queries";
import { CHOICES, named, REASONS } from "@/lib/vote-words";

/** Which votes are ranked, listed and made into a file; the address holds it. */
export function Filters(props: {
  filter: Filter;
  /** Models with votes: one may have been deleted, or be a checkpoint, which is in no list. */
  voted: readonly string[];
  onChange: (filter: Filter) => void;
}) {
  const { filter, voted, onChange } = props;
  const models = useQuery(modelsQuery);
  const chattable = models.data?.data.filter(({ use }) => use === "chat").map(({ id }) => id) ?? [];
  const ids = [...new Set([...voted, ...given(filter), ...chattable])];
  const isFiltered = Object.values(filter).some((value) => value !== undefined);
  const options = ids.map((id) => [id, id] as const);
  return (
    <div className="flex min-w-0 flex-wrap items-center gap-3 max-md:w-full">
      <Select
        label="Model"
        all="All models"
        value={filter.model}
        options={options}
        // A second model without a first one would filter by one of them in another field.
        onChange={(model) =>
          onChange({ ...filter, model, against: model ? filter.against : undefined })
        }
      />
      {filter.model && (
        <Select
          label="Against"
          all="Against all models"
          value={filter.against}
          options={options.filter(([id]) => id !== filter.model)}
          onChange={(against) => onChange({ ...filter, against })}
        />
      )}
      <Select
        label="Choice"
        all="All choices"
        value={filter.choice}
        options={Object.entries(CHOICES)}
        onChange={(choice) => onChange({ ...filter, choice: named(CHOICES, choice) })}
      />
      <Select
        label="Reason"
        all="All reasons"
        value={filter.reason}
        options={Object.entries(REASONS)}
        onChange={(reason) => onChange({ ...filter, reason: named(REASONS, reason) })}
      />
      {filter.evaluation && (
        <Link
          to="/evaluations/$evaluationId"
          params={{ evaluationId: filter.evaluation }}
          className="text-accent underline"
        >
          Of one evaluation
        </Link>
      )}
      {isFiltered && (
        <Button small look="quiet" onClick={() => onChange({})}>
          All votes
        </Button>
      )}
    </div>
  );
}

const given = ({ model, against }: Filter) => [model, against].filter((name) => name !== undefined);

function Select(props: {
  label: string;
  all: string;
  value: string | undefined;
  options: (readonly [string, string])[];
  onChange: (value: string | undefined) => void;
}) {
  return (
    <select
      aria-label={props.label}
      className={cx(inputClass, "truncate pe-8 md:w-auto md:max-w-60")}
      value={props.value ?? ""}
      onChange={(event) => props.onChange(event.target.value || undefined)}
    >
      <option value="">{props.all}</option>
      {props.options.map(([value, label]) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
    </select>
  );
}
