import { Info } from "lucide-react";
import type { ReactNode } from "react";
import { FileName } from "@/components/file-name";
import { InfoMark } from "@/components/info-mark";
import type { Evaluation, Side } from "@/features/evaluations/objects";
import { itemsOf, sideName } from "@/features/evaluations/words";
import { number } from "@/lib/format";
import { visible } from "@/lib/visible-text";

/** What exactly was compared, behind an info mark: all that is needed to do it again. */
export function Identity({ evaluation }: { evaluation: Evaluation }) {
  const { suite, model, baseline, sampling, seed, limit, orders, judge, judge_prompt } = evaluation;
  const isOfPairs = itemsOf(evaluation) === "pairs";
  const reading = Object.entries(evaluation.reading ?? {});
  const { samples, diversity } = evaluation;
  const settings = Object.entries(sampling).filter(([, value]) => value !== null);
  return (
    <details className="-mt-2">
      <summary className="flex w-fit items-center gap-1.5 text-muted hover:text-ink">
        <Info aria-hidden="true" size={16} />
        What exactly was compared
      </summary>
      <div className="mt-2 grid gap-x-8 gap-y-4 rounded-lg border border-line bg-surface p-4 lg:grid-cols-3">
        <SideFacts title="Model" side={model} />
        {baseline && <SideFacts title="Baseline" side={baseline} />}
        <Facts title={`${isOfPairs ? "Pairs" : "Prompts"} and settings`}>
          <Fact name="Suite">{suite.title}</Fact>
          <Fact name="File">
            <FileName id={suite.data} sha256={suite.sha256} />
          </Fact>
          <Fact name={isOfPairs ? "Pairs" : "Prompts"}>
            {limit === null ? "all of the file" : `${number(limit)} drawn`}
          </Fact>
          <Fact name="Seed">{seed}</Fact>
          {settings.map(([name, value]) => (
            <Fact key={name} name={name}>
              {String(value)}
            </Fact>
          ))}
          {reading.map(([name, value]) => (
            <Fact key={name} name={name}>
              {String(value)}
            </Fact>
          ))}
          {samples !== null && <Fact name="Answers to each prompt">{number(samples)}</Fact>}
          {diversity && (
            <Fact name="Embedder">
              {diversity.embedder}{" "}
              <InfoMark about="the embedder" facts={[["SHA-256", diversity.embedder_sha256]]} />
            </Fact>
          )}
          {judge && (
            <>
              <Fact name="Judge">
                {judge.name} ({judge.kind}), {sideName(judge)}
              </Fact>
              {baseline && (
                <Fact name="Orders">{orders === 2 ? "both orders" : "one order only"}</Fact>
              )}
            </>
          )}
        </Facts>
        {judge_prompt && (
          <div className="lg:col-span-3">
            <h3 className="mb-1 font-medium">The judge's prompt</h3>
            <p
              // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable.
              tabIndex={0}
              className="max-h-64 overflow-y-auto text-sm break-words whitespace-pre-wrap"
            >
              {visible(judge_prompt)}
            </p>
          </div>
        )}
      </div>
    </details>
  );
}

function SideFacts({ title, side }: { title: string; side: Side }) {
  return (
    <Facts title={title}>
      <Fact name="Name">
        {side.model}{" "}
        <InfoMark
          about={side.model}
          facts={[
            ["Checkpoint", side.checkpoint],
            ["SHA-256 of the weights", side.weights_sha256],
            ["SHA-256 of the template", side.template_sha256],
          ]}
        />
      </Fact>
      {side.base_url && <Fact name="Endpoint">{side.base_url}</Fact>}
      {side.engine && <Fact name="Engine">{side.engine}</Fact>}
      {side.kind === "endpoint" && (
        <Fact name="Weights">not known: another service answers under this name</Fact>
      )}
    </Facts>
  );
}

function Facts({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="min-w-0">
      <h3 className="mb-1 font-medium">{title}</h3>
      <dl className="flex flex-col gap-1">{children}</dl>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="flex flex-wrap gap-x-2">
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </div>
  );
}
