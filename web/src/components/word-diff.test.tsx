import { render } from "@testing-library/react";
import { expect, test } from "vitest";
import { isMarkable, WordDiff } from "@/components/word-diff";

const drawn = (from: string, to: string, show?: "from" | "to" | "both") =>
  render(
    <p>
      <WordDiff from={from} to={to} show={show} />
    </p>,
  ).container;

test("marks what was added and what was removed", () => {
  const page = drawn("keep the bread warm", "keep the bread cold");
  expect(page.querySelector("del")).toHaveTextContent("warm");
  expect(page.querySelector("ins")).toHaveTextContent("cold");
});

test("each side on its own is its text, unchanged", () => {
  const from = "one  two\n\tthree is more";
  const to = "one two\n four is more";
  expect(drawn(from, to, "from").textContent).toBe(from);
  expect(drawn(from, to, "to").textContent).toBe(to);
});

test("hostile text is text", () => {
  const from = "<img src=x onerror=alert(1)> <script>alert(2)</script> [a](javascript:alert(3))";
  const to = "</del></ins><b onclick='x'>bold</b> &lt;i&gt; \u202e reversed";
  for (const show of ["from", "to"] as const) {
    const page = drawn(from, to, show);
    expect(page.textContent).toBe(show === "from" ? from : to);
    expect(page.querySelector("img, script, b, a, i")).toBeNull();
  }
});

test("texts that share too little are drawn as they are", () => {
  const words = (name: string) => Array.from({ length: 3_000 }, (_, n) => `${name}${n}`).join(" ");
  const page = drawn(words("a"), words("b"), "to");
  expect(page.textContent).toBe(words("b"));
  expect(page.querySelector("ins")).toBeNull();
});

test("answers with little in common are drawn without marks", () => {
  const [from, to] = ["The sky is blue today.", "I can't say which of them is right, sorry."];
  expect(isMarkable(from, to)).toBe(false);
  const page = drawn(from, to, "to");
  expect(page.textContent).toBe(to);
  expect(page.querySelector("ins, del")).toBeNull();
});
