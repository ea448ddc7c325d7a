import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useRef, useState } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { Progress } from "@/components/progress";
import { RunningFor } from "@/components/running-for";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { inputClass } from "@/components/ui/field";
import { OverlapResult } from "@/features/files/components/overlap-result";
import { comparable, hasMarks, holdsInWords, listed, MOST_FILES } from "@/features/files/overlap";
import { overlapsQuery } from "@/features/files/overlap-api";
import { useUnmask } from "@/features/files/unmask";
import { cx } from "@/lib/cx";
import { ago, moment, number } from "@/lib/format";
import { filesQuery } from "@/lib/queries";

/** Finds the prompts of a file that stand in other files, too, and offers to drop their rows. */
export default function OverlapPanel({ fileId }: { fileId: string }) {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  return (
    <Card title="Overlap">
      <div className="flex flex-col gap-4">
        <p className="max-w-prose text-muted">
          Finds the prompts of this file that stand in other files, too: in pairs that are held out,
          or in a benchmark. Of a file without a pair, the prompts alone are read.
        </p>
        <Comparison fileId={fileId} chosen={chosen}>
          <Choice fileId={fileId} chosen={chosen} onChoose={setChosen} />
        </Comparison>
      </div>
    </Card>
  );
}

/** Compares with the chosen files on demand, and shows the last result until the next one. */
function Comparison(props: { fileId: string; chosen: ReadonlySet<string>; children: ReactNode }) {
  const { fileId, chosen } = props;
  const queries = useQueryClient();
  const [asked, setAsked] = useState<readonly string[]>([]);
  const [isStopped, setStopped] = useState(false);
  const submit = useRef<HTMLButtonElement>(null);
  const found = useQuery({ ...overlapsQuery(fileId, asked, false), enabled: asked.length > 0 });
  const isRunning = found.isFetching;
  const compare = () => {
    const against = [...chosen]; // in the order of the ticks
    if (against.length === 0 || isRunning) return;
    setStopped(false);
    if (against.join() === asked.join()) void found.refetch();
    else setAsked(against);
  };
  const cancel = async () => {
    // This aborts the request.
    await queries.cancelQueries(overlapsQuery(fileId, asked, false));
    setAsked([]);
    setStopped(true);
    submit.current?.focus();
  };
  return (
    <>
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          compare();
        }}
      >
        {props.children}
        <div className="flex flex-wrap items-center gap-3">
          <Button
            ref={submit}
            type="submit"
            aria-disabled={isRunning || undefined}
            disabled={chosen.size === 0}
            className="aria-disabled:cursor-not-allowed aria-disabled:opacity-50"
          >
            Compare
          </Button>
          <p role="status">
            {isRunning ? "Comparing the prompts" : isStopped && "The comparison was stopped."}
          </p>
          {isRunning && <Running onCancel={cancel} />}
        </div>
        {isRunning && <Progress share={null} label="Progress of the comparison" />}
      </form>
      {!isRunning && found.error && (
        <ErrorPanel error={found.error} retry={() => found.refetch()} />
      )}
      {!isRunning && found.data && <Unmasked fileId={fileId} asked={asked} masked={found.data} />}
    </>
  );
}

function Running({ onCancel }: { onCancel: () => void }) {
  return (
    <>
      <RunningFor />
      <Button small className="ml-auto" onClick={onCancel}>
        Cancel
        <span className="sr-only">the comparison</span>
      </Button>
    </>
  );
}

/** The result, compared once more with personal data where the reader wants to see that. */
function Unmasked(props: {
  fileId: string;
  asked: readonly string[];
  masked: Parameters<typeof OverlapResult>[0]["found"];
}) {
  const { fileId, asked, masked } = props;
  const { isOn } = useUnmask();
  const isMaskable = hasMarks(masked);
  const whole = useQuery({
    ...overlapsQuery(fileId, asked, true),
    enabled: isOn && isMaskable,
  });
  return (
    <>
      {isOn && isMaskable && whole.error && (
        <ErrorPanel error={whole.error} retry={() => whole.refetch()} />
      )}
      <OverlapResult
        fileId={fileId}
        found={(isOn ? whole.data : undefined) ?? masked}
        isMaskable={isMaskable}
      />
    </>
  );
}

const STEP = 100;
// As many fit into the list without scrolling.
const FEW = 6;

/** The organisation's other files, to be ticked. */
function Choice(props: {
  fileId: string;
  chosen: ReadonlySet<string>;
  onChoose: (chosen: ReadonlySet<string>) => void;
}) {
  const { fileId, chosen, onChoose } = props;
  const [limit, setLimit] = useState(STEP);
  const [text, setText] = useState("");
  const files = useQuery({ ...filesQuery(limit), placeholderData: keepPreviousData });
  const others = comparable(files.data?.data ?? [], fileId);
  const shown = listed(others, text, chosen);
  const tick = (id: string, isTicked: boolean) => {
    const ids = new Set(chosen);
    if (isTicked) ids.add(id);
    else ids.delete(id);
    onChoose(ids);
  };
  if (files.isPending) return <Loading what="Loading the files" />;
  if (files.error) return <ErrorPanel error={files.error} retry={() => files.refetch()} />;
  if (others.length === 0 && !files.data.has_more)
    return <p>There is no other file yet. Upload the pairs or prompts to compare with.</p>;
  return (
    <fieldset className="flex flex-col gap-2">
      <legend className="mb-2 font-medium">
        Files to compare with{chosen.size > 0 && `: ${number(chosen.size)} chosen`}
      </legend>
      {(others.length > FEW || text) && (
        <input
          type="search"
          aria-label="Search the files by name"
          placeholder="Search by name"
          className={cx(inputClass, "max-w-md")}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => event.key === "Enter" && event.preventDefault()}
        />
      )}
      <ul className="max-h-60 overflow-y-auto rounded-md border border-line bg-bg">
        {shown.map((file) => (
          <li key={file.id} className="border-line not-last:border-b">
            <label className="flex cursor-pointer items-start gap-3 px-3 py-2 has-disabled:cursor-not-allowed has-disabled:opacity-50">
              <input
                type="checkbox"
                className="mt-0.5 size-4 shrink-0 accent-accent"
                checked={chosen.has(file.id)}
                disabled={!chosen.has(file.id) && chosen.size >= MOST_FILES}
                onChange={(event) => tick(file.id, event.target.checked)}
              />
              <span className="flex min-w-0 flex-wrap gap-x-3">
                <span className="min-w-0 break-all">{file.filename}</span>
                <span className="text-muted" title={moment(file.created_at)}>
                  {holdsInWords(file)}, {ago(file.created_at)}
                </span>
              </span>
            </label>
          </li>
        ))}
        {shown.length === 0 && <li className="px-3 py-2 text-muted">No file has this name.</li>}
      </ul>
      <p className="text-sm text-muted">At most {MOST_FILES} at once.</p>
      {files.data.has_more && (
        <Button
          small
          className="self-start"
          disabled={files.isFetching}
          onClick={() => setLimit(limit + STEP)}
        >
          Show older files
        </Button>
      )}
    </fieldset>
  );
}
