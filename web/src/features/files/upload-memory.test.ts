import { beforeEach, expect, test } from "vitest";
import {
  forget,
  type Remembered,
  recall,
  remember,
  renew,
  stopped,
} from "@/features/files/upload-memory";

const entry: Remembered = {
  uploadId: "upload-1",
  name: "pairs.jsonl",
  size: 9,
  lastModified: 7,
  columns: null,
  partBytes: 3,
  partIds: ["part-0"],
  expiresAt: Date.now() / 1000 + 3600,
  at: 0,
};

/** An entry as another tab wrote it. */
const written = (more: Partial<Remembered>) =>
  localStorage.setItem(
    "upload:upload-2",
    JSON.stringify({ ...entry, uploadId: "upload-2", ...more }),
  );

beforeEach(() => {
  localStorage.clear();
  forget("upload-1");
});

test("an upload of a tab that was closed, or is silent for long, is a stopped one", () => {
  written({ at: 0 });
  expect(stopped()).toMatchObject([{ uploadId: "upload-2", partIds: ["part-0"] }]);
  const now = Date.now();
  written({ at: now - 1_000 });
  expect(stopped(now)).toEqual([]);
  expect(stopped(now + 60_000)).toHaveLength(1);
});

test("this tab's uploads are no stopped ones, and are marked as such when it closes", () => {
  remember(entry);
  renew(0);
  expect(stopped()).toEqual([]);
  expect(recall(entry, null)?.at).toBe(0);
  written({ at: 5 });
  renew();
  expect(JSON.parse(localStorage.getItem("upload:upload-2") ?? "").at).toBe(5);
});

test("expired and unreadable entries are removed", () => {
  written({ expiresAt: Date.now() / 1000 - 1 });
  localStorage.setItem("upload:x", "no JSON");
  localStorage.setItem("theme", "dark");
  expect(stopped()).toEqual([]);
  expect(Object.keys(localStorage)).toEqual(["theme"]);
});
