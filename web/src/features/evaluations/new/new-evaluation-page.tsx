import { useQuery } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Loading, Page } from "@/components/page";
import { evaluationQuery, promptFilesQuery, suitesQuery } from "@/features/evaluations/api";
import { blank, type Form, formOf } from "@/features/evaluations/form";
import { judgesQuery } from "@/features/evaluations/judges-api";
import { EvaluationForm } from "@/features/evaluations/new/evaluation-form";
import { comparedInWords } from "@/features/evaluations/words";
import { filesQuery, modelsQuery } from "@/lib/queries";

/** The form of a new evaluation: what is evaluated, on what, against what, and who judges. */
export function NewEvaluationPage() {
  const search = useSearch({ from: "/shell/evaluations/new" });
  const suites = useQuery(suitesQuery);
  const models = useQuery(modelsQuery);
  const prompts = useQuery(promptFilesQuery);
  const pairs = useQuery(filesQuery(1000));
  const judges = useQuery(judgesQuery);
  const from = useQuery({
    ...evaluationQuery(search.from ?? ""),
    enabled: search.from !== undefined,
  });
  const asked = [suites, models, prompts, pairs, judges, ...(search.from ? [from] : [])];
  const failed = asked.find((query) => query.error);
  const isReady = asked.every((query) => query.data);
  const lead = from.data && (
    <>
      With the settings of{" "}
      <Link
        to="/evaluations/$evaluationId"
        params={{ evaluationId: from.data.id }}
        className="text-accent underline"
      >
        {comparedInWords(from.data)}
      </Link>
    </>
  );
  return (
    <Page title="New evaluation" lead={lead}>
      {failed && <ErrorPanel error={failed.error} retry={() => failed.refetch()} />}
      {!failed && !isReady && <Loading what="Loading what can be evaluated" />}
      {!failed && isReady && (
        <Needs scope="write" lacking="explained">
          <EvaluationForm
            key={search.from}
            suites={suites.data ?? []}
            models={models.data?.data.filter(({ use }) => use !== "judge") ?? []}
            prompts={prompts.data?.data ?? []}
            pairs={pairs.data?.data ?? []}
            judges={judges.data ?? []}
            initial={initial()}
          />
        </Needs>
      )}
    </Page>
  );

  function initial(): Form {
    const base = from.data ? formOf(from.data) : blank;
    const { model, baseline, suite, data, judge } = search;
    return {
      ...base,
      model: model ?? base.model,
      suite: suite ?? (base.suite || (suites.data?.[0]?.id ?? "")),
      data: data ?? base.data,
      against: baseline ? "model" : base.against,
      baseline: baseline ?? base.baseline,
      judge: judge ?? base.judge,
    };
  }
}
