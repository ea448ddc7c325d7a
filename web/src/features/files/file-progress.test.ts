import { expect, test } from "vitest";
import { progressInWords, shareOf, stateInWords } from "@/features/files/file-progress";

const upload = { status: "uploaded", sha256: "ab" } as const;
const version = { status: "uploaded", sha256: "" } as const;
const rows = { stage: "audit", done: 430, total: 1_000, unit: "rows" } as const;

test("a file is made before it is checked, and says how far it is", () => {
  expect(stateInWords(version)).toBe("being made");
  expect(stateInWords(upload)).toBe("being checked");
  expect(stateInWords({ ...upload, progress: rows })).toBe("being audited, 43%");
  expect(stateInWords({ ...upload, status: "processed", progress: null })).toBe("ready");
  expect(stateInWords({ ...version, status: "error" })).toBe("error");
});

test("progress counts rows or bytes, names the step, and has no end where none is known", () => {
  expect(progressInWords(upload)).toBe("Checking the rows");
  expect(progressInWords({ ...upload, progress: rows })).toBe(
    "Auditing the rows: 430 of 1,000 rows",
  );
  const making = {
    stage: "make",
    done: 2e6,
    total: null,
    unit: "bytes",
    step: 2,
    steps: 3,
  } as const;
  expect(progressInWords({ ...version, progress: making })).toBe(
    "Making the rows, step 2 of 3: 2 MB",
  );
  expect(progressInWords({ ...version, progress: { ...making, name: "drop_rows" } })).toBe(
    "Making the rows, step 2 of 3 (drop rows): 2 MB",
  );
  expect(shareOf({ ...version, progress: making })).toBeNull();
  expect(shareOf({ ...upload, progress: { ...rows, done: 1_001 } })).toBe(1);
});
