import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Empty, Loading, Page } from "@/components/page";
import { Button, buttonClass } from "@/components/ui/button";
import { inputClass } from "@/components/ui/field";
import { evaluationsQuery, suitesQuery } from "@/features/evaluations/api";
import { EvaluationsTable } from "@/features/evaluations/components/evaluations-table";
import { Rooms } from "@/features/evaluations/components/rooms";
import { modelsQuery } from "@/lib/queries";

const STEP = 50;

/** All evaluations, the newest first; ticked ones go to the leaderboard. */
export function EvaluationsPage() {
  const search = useSearch({ from: "/shell/evaluations" });
  const navigate = useNavigate({ from: "/evaluations" });
  const [limit, setLimit] = useState(STEP);
  const { model, suite } = search;
  const found = useQuery({
    ...evaluationsQuery({ model, suite }, limit),
    placeholderData: keepPreviousData,
  });
  const ticked = search.select?.split(",") ?? [];
  const change = (change: Partial<typeof search>) =>
    navigate({ search: (now) => ({ ...now, ...change }), replace: true, resetScroll: false });
  const toggle = (id: string) => {
    const next = ticked.includes(id) ? ticked.filter((each) => each !== id) : [...ticked, id];
    change({ select: next.join(",") || undefined });
  };
  const isFiltered = model !== undefined || suite !== undefined;
  return (
    <Page
      title="Evaluations"
      lead="How well models answer, with intervals, and against another model."
      actions={
        <Needs scope="write" lacking="hidden">
          <Link to="/evaluations/new" className={buttonClass("primary")}>
            <Plus aria-hidden="true" size={16} /> New evaluation
          </Link>
        </Needs>
      }
    >
      <Rooms />
      {found.error && <ErrorPanel error={found.error} retry={() => found.refetch()} />}
      {found.isPending && <Loading what="Loading the evaluations" />}
      {found.data && (found.data.data.length > 0 || isFiltered) && (
        <div className="flex flex-wrap items-center gap-3">
          <Filters model={model} suite={suite} onChange={change} />
          {ticked.length > 0 && (
            <div className="flex items-center gap-2 md:ml-auto">
              <p className="text-sm text-muted">{ticked.length} ticked</p>
              <Button small look="quiet" onClick={() => change({ select: undefined })}>
                Clear
              </Button>
              <Link
                to="/evaluations/leaderboard"
                search={{ ids: ticked.join(",") }}
                className={buttonClass("plain", true)}
              >
                Compare
              </Link>
            </div>
          )}
        </div>
      )}
      {found.data?.data.length === 0 &&
        (isFiltered ? <Empty>No evaluation fits this filter.</Empty> : <Start />)}
      {found.data && found.data.data.length > 0 && (
        <EvaluationsTable evaluations={found.data.data} ticked={ticked} toggle={toggle} />
      )}
      {found.data?.has_more && (
        <Button
          className="self-start"
          disabled={found.isFetching}
          onClick={() => setLimit(limit + STEP)}
        >
          Show older evaluations
        </Button>
      )}
    </Page>
  );
}

function Filters(props: {
  model: string | undefined;
  suite: string | undefined;
  onChange: (change: { model?: string; suite?: string }) => void;
}) {
  const suites = useQuery(suitesQuery);
  const models = useQuery(modelsQuery);
  const ids = new Set(models.data?.data.map(({ id }) => id));
  // A link may name a checkpoint, which is in no list.
  if (props.model) ids.add(props.model);
  return (
    <>
      <select
        aria-label="Suite"
        className={`${inputClass} max-w-48`}
        value={props.suite ?? ""}
        onChange={(event) => props.onChange({ suite: event.target.value || undefined })}
      >
        <option value="">All suites</option>
        {suites.data?.map(({ id, title }) => (
          <option key={id} value={id}>
            {title}
          </option>
        ))}
      </select>
      <select
        aria-label="Model"
        className={`${inputClass} max-w-64 truncate`}
        value={props.model ?? ""}
        onChange={(event) => props.onChange({ model: event.target.value || undefined })}
      >
        <option value="">All models</option>
        {[...ids].map((id) => (
          <option key={id}>{id}</option>
        ))}
      </select>
    </>
  );
}

function Start() {
  return (
    <Empty>
      <p className="mb-1 font-semibold text-ink">No evaluations yet</p>
      <p className="mx-auto mb-4 max-w-md">
        An evaluation asks a model the prompts of a file and scores its answers. With a baseline, it
        shows on which prompts the model became better or worse.
      </p>
      <Needs scope="write" lacking="hidden">
        <Link to="/evaluations/new" className={buttonClass("primary")}>
          New evaluation
        </Link>
      </Needs>
    </Empty>
  );
}
