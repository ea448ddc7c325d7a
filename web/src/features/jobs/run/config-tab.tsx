import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { Card } from "@/components/ui/card";
import type { Job } from "@/features/jobs/api";
import { Sentence } from "@/features/jobs/components/sentence";
import { methodOf } from "@/features/jobs/job";
import { differs, initialText, methodsQuery, type Setting, typed } from "@/features/jobs/methods";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";

/** All settings of this run; values that differ from the defaults are marked. */
export function ConfigTab({ job }: { job: Job }) {
  const { data, error, refetch } = useQuery(methodsQuery);
  const groups = data?.find((method) => method.id === methodOf(job))?.groups ?? [];
  return (
    <div className="grid min-w-0 grid-cols-1 items-start gap-4 lg:grid-cols-2">
      <Card title="Run">
        <dl>
          <Fact name="Base model" value={job.model} />
          <Fact name="Method" value={methodOf(job)} />
          <FileFact name="Training file" id={job.training_file} />
          {job.validation_file && <FileFact name="Validation file" id={job.validation_file} />}
          <Fact name="Seed" value={String(job.seed)} />
          <Fact name="Trained tokens" value={number(job.trained_tokens, 0)} />
          <Fact name="Result" value={job.fine_tuned_model ?? "none yet"} />
          <Fact name="Id" value={job.id} />
          {Object.entries(job.metadata).map(([key, value]) => (
            <Fact key={key} name={key} value={value} />
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

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div className="flex justify-between gap-4 border-t border-line py-2 first:border-t-0">
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 text-right break-all">{value}</dd>
    </div>
  );
}

function FileFact({ name, id }: { name: string; id: string }) {
  return (
    <div className="flex justify-between gap-4 border-t border-line py-2">
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 text-right break-all">
        <Link to="/files/$fileId" params={{ fileId: id }} className="text-accent underline">
          {id}
        </Link>
      </dd>
    </div>
  );
}
