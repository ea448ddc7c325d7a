import { expect, test } from "vitest";
import { HOME, safeNext } from "@/features/session/next";

test.each([
  "/files",
  "/jobs/ftjob-1?tab=pairs&line=3#top",
  "/playground?a=x%2Fy&b=ft%3Ax",
  "/files?note=https://elsewhere.example//x",
])("goes on to %s", (next) => {
  expect(safeNext(next)).toBe(next);
});

test.each([
  undefined,
  "",
  "files",
  "//elsewhere.example",
  "///elsewhere.example",
  "/\\elsewhere.example",
  "\\\\elsewhere.example",
  "/\t/elsewhere.example",
  "/\n/elsewhere.example",
  "/..//elsewhere.example",
  "/.//elsewhere.example",
  "https://elsewhere.example/",
  "javascript:alert(1)",
  " /files",
  "@elsewhere.example",
  "/sign-in?next=/sign-in",
  "//",
])("stays here instead of following %j", (next) => {
  expect(safeNext(next)).toBe(HOME);
});
