import { expect, test } from "vitest";
import type { Schema } from "@/lib/api";
import { choiceFault, fileOption, type Use } from "@/lib/file-options";

const file = (more: Partial<Schema<"FileObject">>) =>
  ({
    id: "file-1",
    filename: "a.jsonl",
    bytes: 9_000,
    created_at: Date.now() / 1000,
    status: "processed",
    status_details: null,
    rows: 1300,
    accepted: 1204,
    shapes: { explicit: 1204 },
    ...more,
  }) as Schema<"FileObject">;

test("a choice shows how many pairs can be used, not its size", () => {
  expect(fileOption(file({}), "pairs")).toEqual({
    value: "file-1",
    label: "a.jsonl, 1,204 usable pairs, just now",
    isDisabled: false,
  });
});

test.each<[Partial<Schema<"FileObject">>, Use, string]>([
  [{ status: "uploaded", accepted: null, shapes: null }, "pairs", "still being checked"],
  [{ status: "error", accepted: 0, shapes: {} }, "pairs", "no usable pair"],
  [{ accepted: 0 }, "prompts", "no usable prompt"],
  [
    { shapes: { messages: 9 } },
    "pairs",
    "conversations without a rejected answer, for the method supervised",
  ],
])("a file that can't be used is disabled and says why", (more, use, reason) => {
  const { label, isDisabled } = fileOption(file(more), use);
  expect(isDisabled).toBe(true);
  expect(label).toContain(reason);
  expect(choiceFault(file(more), use)).toBe(`a.jsonl can't be used: ${reason}.`);
});

test("conversations are enough for a method that needs no rejected answer", () => {
  expect(fileOption(file({ shapes: { messages: 9 } }), "answers").isDisabled).toBe(false);
  expect(choiceFault(undefined, "pairs")).toBeNull();
});
