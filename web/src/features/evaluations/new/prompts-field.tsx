import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Upload } from "lucide-react";
import { useRef, useState } from "react";
import { Progress } from "@/components/progress";
import { buttonClass } from "@/components/ui/button";
import { ChoiceField } from "@/components/ui/fields";
import { promptFilesQuery, uploadPrompts } from "@/features/evaluations/api";
import { readsPairs } from "@/features/evaluations/form";
import { TypedPrompts } from "@/features/evaluations/new/typed-prompts";
import type { Suite } from "@/features/evaluations/objects";
import type { Schema } from "@/lib/api";
import { cx } from "@/lib/cx";
import { fileOption } from "@/lib/file-options";
import { number } from "@/lib/format";

type File = Schema<"FileObject">;

type Props = {
  prompts: File[];
  pairs: File[];
  suite: Suite | undefined;
  value: string;
  error: string | null | undefined;
  onChange: (id: string) => void;
};

/**
 * The file of prompts: one that was uploaded, the prompts of a file of pairs, or a new upload. Of a
 * suite that reads pairs, a file of pairs.
 */
export function PromptsField({ prompts, pairs, suite, value, error, onChange }: Props) {
  const chosen = [...prompts, ...pairs].find(({ id }) => id === value);
  const isListed = value === "" || chosen !== undefined;
  if (readsPairs(suite))
    return (
      <ChoiceField
        name="data"
        label="Pairs"
        value={pairs.some(({ id }) => id === value) ? value : ""}
        none={pairs.length === 0 ? "No file of pairs is uploaded" : "Choose a file"}
        options={pairs.map(option)}
        hint="Pairs that the model was not trained on; else it only shows what it remembers."
        error={error}
        onChange={onChange}
      />
    );
  return (
    <div className="flex flex-col gap-2">
      <ChoiceField
        name="data"
        label="Prompts"
        value={value}
        none={prompts.length + pairs.length === 0 ? "No file is uploaded" : "Choose a file"}
        options={[
          ...(isListed ? [] : [{ value, label: value }]),
          { name: "Files of prompts", options: prompts.map(option) },
          { name: "The prompts of files of pairs", options: pairs.map(option) },
        ]}
        hint={suite?.official_sha256 && <Official file={chosen} sha256={suite.official_sha256} />}
        error={error}
        onChange={onChange}
      />
      {chosen && <Checked file={chosen} />}
      <UploadPrompts onStored={onChange} />
    </div>
  );
}

const option = (file: File) => fileOption(file, "prompts");

/** Whether the chosen file is the suite's official one: only then are scores comparable. */
function Official({ file, sha256 }: { file: File | undefined; sha256: string }) {
  if (!file) return "With the official file, scores can be compared with published ones.";
  return file.sha256 === sha256
    ? "This is the official file of the suite."
    : "This is not the official file of the suite: scores can't be compared with published ones.";
}

function Checked({ file }: { file: File }) {
  if (file.status === "uploaded")
    return (
      <p role="status" className="text-sm text-muted">
        The file is being checked …
      </p>
    );
  if (file.status === "error")
    return (
      <p role="alert" className="text-sm text-rejected">
        It can't be used: {file.status_details}
      </p>
    );
  const left = (file.rows ?? 0) - (file.accepted ?? 0);
  if (left <= 0) return null;
  return (
    <p className="text-sm text-muted">
      {number(left)} of its {number(file.rows)} rows can't be used: they have no prompt, or can't be
      read.
    </p>
  );
}

function UploadPrompts({ onStored }: { onStored: (id: string) => void }) {
  const queries = useQueryClient();
  const [share, setShare] = useState(0);
  const abort = useRef<AbortController>(null);
  const send = useMutation({
    mutationFn: (file: globalThis.File) => {
      abort.current = new AbortController();
      setShare(0);
      return uploadPrompts(file, abort.current.signal, setShare);
    },
    onSuccess: async ({ id }) => {
      await queries.invalidateQueries(promptFilesQuery);
      onStored(id);
    },
  });
  return (
    <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
      <label
        className={cx(
          buttonClass("plain", true),
          "cursor-pointer has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent",
        )}
      >
        <Upload aria-hidden="true" size={14} />
        Upload a file of prompts
        <input
          type="file"
          accept=".jsonl,.ndjson,.json,.csv,.tsv,.parquet,.gz,.zst,.txt"
          className="sr-only"
          onChange={(event) => {
            const [file] = event.target.files ?? [];
            if (file) send.mutate(file);
            // Reset, so that choosing the same file again fires a change event.
            event.target.value = "";
          }}
        />
      </label>
      {send.isPending && (
        <div className="w-48">
          <Progress share={share} label={`Upload of ${send.variables.name}`} />
        </div>
      )}
      <p role="status" className="text-sm text-muted">
        {send.isPending && (share < 1 ? "Uploading" : "The server stores it")}
        {send.data && `${send.data.filename} was uploaded.`}
      </p>
      <TypedPrompts isSending={send.isPending} onDone={(file) => send.mutate(file)} />
      {send.error && (
        <p role="alert" className="basis-full text-sm text-rejected">
          {send.error.message}
        </p>
      )}
    </div>
  );
}
