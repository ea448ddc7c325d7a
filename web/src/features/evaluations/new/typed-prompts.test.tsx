import { expect, test } from "vitest";
import { fileOf, promptsIn } from "@/features/evaluations/new/typed-prompts";

test("each line that says something is a prompt", () => {
  expect(promptsIn("Name one colour.\n\n  Why?  \n")).toEqual(["Name one colour.", "Why?"]);
  expect(promptsIn(" \n")).toEqual([]);
});

test("typed prompts become a file that names the first of them", async () => {
  const file = fileOf(['Say "no" / ünd why it is so, in a few words.', "Why?"]);
  expect(file.name).toBe("typed-Say-no-ünd-why-it-is.jsonl");
  const lines = (await file.text()).trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line).prompt)).toEqual([
    'Say "no" / ünd why it is so, in a few words.',
    "Why?",
  ]);
});
