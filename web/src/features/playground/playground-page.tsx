import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { Key } from "@/components/key";
import { Loading, Page } from "@/components/page";
import { Button, buttonClass } from "@/components/ui/button";
import { heldOutQuery, succeededJobsQuery } from "@/features/playground/api/held-out";
import { ConversationView } from "@/features/playground/components/conversation-view";
import { HeldOutBar } from "@/features/playground/components/held-out-bar";
import type { Drafts } from "@/features/playground/components/settings";
import { defaultModels } from "@/features/playground/default-models";
import { DEFAULTS } from "@/features/playground/sampling";
import { cx } from "@/lib/cx";
import { deploymentsQuery, modelsQuery } from "@/lib/queries";
import { useKeys } from "@/lib/use-keys";

const route = getRouteApi("/shell/playground");

/** Ask two models the same question, and vote for the better answer. */
export function PlaygroundPage() {
  const { a, b, job, line, ask } = route.useSearch();
  const navigate = route.useNavigate();
  const [round, setRound] = useState(0);
  const [samplings, setSamplings] = useState<Drafts>([DEFAULTS]);
  const [isDiffed, setDiffed] = useState(false);
  const jobs = useQuery(succeededJobsQuery);
  const pairs = useQuery({ ...heldOutQuery(job ?? ""), enabled: job !== undefined });
  useDefaultModels();
  useKeys({ d: { does: "Mark what differs, or stop marking", act: () => setDiffed(!isDiffed) } });

  const lineNumber = line && /^\d+$/.test(line) ? Number(line) : null;
  const pair = pairs.data?.find((each) => each.line === lineNumber);
  const isLoading = job !== undefined && lineNumber !== null && pairs.isPending;

  const begin = () => {
    setRound(round + 1);
    navigate({ search: (before) => ({ ...before, line: undefined, ask: undefined }) });
  };
  const pickJob = (id: string | undefined) => {
    const picked = jobs.data?.find((each) => each.id === id);
    const models = picked && { a: picked.model, b: picked.fine_tuned_model ?? undefined };
    navigate({ search: (before) => ({ ...before, ...models, job: id, line: undefined }) });
  };
  return (
    <Page
      title="Playground"
      actions={
        <>
          <button
            type="button"
            aria-pressed={isDiffed}
            onClick={() => setDiffed(!isDiffed)}
            className={cx(buttonClass(), "aria-pressed:border-accent aria-pressed:text-accent")}
          >
            Differences <Key name="d" />
          </button>
          <Button onClick={begin}>New conversation</Button>
        </>
      }
    >
      <HeldOutBar
        jobId={job}
        line={lineNumber}
        onJob={pickJob}
        onLine={(to) => navigate({ search: (before) => ({ ...before, line: to?.toString() }) })}
      />
      {isLoading ? (
        <Loading what="Loading the held-out pair" />
      ) : (
        <ConversationView
          key={`${round} ${pair ? `${job} ${pair.line}` : ""}`}
          models={[a, b]}
          onPick={(side, model) =>
            navigate({
              search: (before) => ({ ...before, [side === 0 ? "a" : "b"]: model }),
              replace: true,
            })
          }
          heldOut={job && pair ? { jobId: job, pair } : null}
          question={ask}
          samplings={samplings}
          onSamplings={setSamplings}
          isDiffed={isDiffed}
        />
      )}
    </Page>
  );
}

/** If the link names no models, adds the likeliest ones to it. */
function useDefaultModels() {
  const { a, b, job } = route.useSearch();
  const navigate = route.useNavigate();
  const jobs = useQuery(succeededJobsQuery);
  const deployments = useQuery(deploymentsQuery);
  const models = useQuery(modelsQuery);
  const isKnown = deployments.data && models.data && (job === undefined || jobs.data);
  const found =
    isKnown && (!a || !b)
      ? defaultModels({
          job: jobs.data?.find(({ id }) => id === job),
          deployments: deployments.data.data,
          models: models.data.data,
        })
      : {};
  const [pickA, pickB] = [a ?? found.a, b ?? found.b];
  useEffect(() => {
    if (pickA !== a || pickB !== b)
      navigate({ search: (before) => ({ ...before, a: pickA, b: pickB }), replace: true });
  }, [pickA, pickB, a, b, navigate]);
}
