import { useState } from "react";
import { Button } from "@/components/ui/button";
import { LongTextField } from "@/components/ui/fields";
import { number } from "@/lib/format";

/** The prompts of a text, one a line. */
export const promptsIn = (text: string) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

/** A file with these prompts, in the form that the API reads. */
export function fileOf(prompts: readonly string[]): File {
  const lines = prompts.map((prompt) => `${JSON.stringify({ prompt })}\n`);
  const words = (prompts[0] ?? "").match(/[\p{L}\p{N}]+/gu) ?? [];
  const name = ["typed", ...words.slice(0, 6)].join("-").slice(0, 60);
  return new File(lines, `${name}.jsonl`, { type: "application/jsonl" });
}

/** Prompts typed into the form; they are stored as a file of prompts. */
export function TypedPrompts(props: { isSending: boolean; onDone: (file: File) => void }) {
  const [text, setText] = useState("");
  const prompts = promptsIn(text);
  return (
    <details className="basis-full">
      <summary className="w-fit text-muted hover:text-ink">Type prompts instead</summary>
      <div className="mt-2 flex flex-col items-start gap-2">
        <div className="w-full">
          <LongTextField
            name="typed_prompts"
            label="Prompts, one a line"
            value={text}
            error={null}
            hint="They are stored as a file, so that the evaluation can be repeated."
            onChange={setText}
          />
        </div>
        <Button
          small
          disabled={prompts.length === 0 || props.isSending}
          onClick={() => props.onDone(fileOf(prompts))}
        >
          {prompts.length === 0
            ? "Use these prompts"
            : `Use ${prompts.length === 1 ? "this prompt" : `these ${number(prompts.length)} prompts`}`}
        </Button>
      </div>
    </details>
  );
}
