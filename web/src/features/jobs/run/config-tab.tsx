import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { FileName } from "@/components/file-name";
import { InfoMark } from "@/components/info-mark";
import { Loading } from "@/components/page";
import { Card } from "@/components/ui/card";
import type { Job } from "@/features/jobs/api";
import { Sentence } from "@/features/jobs/components/sentence";
import { idsOf, methodOf } from "@/features/jobs/job";
import { differs, initialText, methodsQuery, type Setting, typed } from "@/features/jobs/methods";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { nameOf } from "@/lib/run-name";

/** All settings of this run; values that differ from the defaults are marked. */
export function ConfigTab({ job }: { job: Job }) {
  const { data, error, refetch } = useQuery(methodsQuery);
  const groups = data?.find((method) => method.id === methodOf(job))?.groups ?? [];
  return (
    <div className="grid min-w-0 grid-cols-1 items-start gap-4 lg:grid-cols-2">
      <Card title="Run">
        <dl>
          <Fact name="Name">
            {nameOf(job)} <InfoMark about={nameOf(job)} facts={idsOf(job)} />
          </Fact>
          <Fact name="Base model">{job.model}</Fact>
          <Fact name="Method">{methodOf(job)}</Fact>
          <Fact name="Training file">
            <FileName id={job.training_file} />
          </Fact>
          <Fact name="Held-out pairs">
            {job.validation_file ? <FileName id={job.validation_file} /> : "of the training file"}
          </Fact>
          <Fact name="Seed">{String(job.seed)}</Fact>
          {job.runs_on && (
            <Fact name="Runs on">
              <span className="capitalize">{job.runs_on.launcher}</span>{" "}
              <InfoMark about={nameOf(job)} facts={[["Name there", job.runs_on.name]]} />
            </Fact>
          )}
          <Fact name="Trained tokens">{number(job.trained_tokens, 0)}</Fact>
          <Fact name="Tuned model">{job.fine_tuned_model ?? "none yet"}</Fact>
          {Object.entries(job.metadata).map(([key, value]) => (
            <Fact key={key} name={key}>
              {value}
            </Fact>
          ))}
        </dl>
      </Card>
      {error && <ErrorPanel error={error} retry={refetch} />}
      {!data && !error && <Loading what="Loading the settings" />}
      {groups.map((group) => (
        <Card key={group.name} title={group.name}>
          <dl>
            {group.settings.map((setting) => (
              <SettingFact key={setting.name} setting={setting} job={job} />
            ))}
          </dl>
        </Card>
      ))}
    </div>
  );
}

function SettingFact({ setting, job }: { setting: Setting; job: Job }) {
  const value = typed(job.hyperparameters[setting.name]);
  const isChanged = differs(setting, value);
  const text =
    setting.kind === "flag"
      ? value
        ? "on"
        : "off"
      : isChanged
        ? String(value ?? "automatic")
        : initialText(setting);
  return (
    <div className="flex flex-wrap justify-between gap-x-4 border-t border-line py-2 first:border-t-0">
      <dt className="font-mono text-sm">{setting.name}</dt>
      <dd className={cx("ml-auto text-right", isChanged && "font-semibold")}>
        {text}
        {isChanged && (
          <span className="ml-2 text-sm font-normal text-accent">
            changed, default {initialText(setting)}
          </span>
        )}
      </dd>
      <dd className="basis-full text-sm text-muted">
        <Sentence text={setting.description} />
      </dd>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="flex justify-between gap-4 border-t border-line py-2 first:border-t-0">
      <dt className="shrink-0 text-muted">{name}</dt>
      <dd className="min-w-0 text-right break-words">{children}</dd>
    </div>
  );
}
