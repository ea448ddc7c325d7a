import { render, screen, within } from "@testing-library/react";
import { expect, test } from "vitest";
import { Certificate } from "@/features/deployments/certificate";
import type { Schema } from "@/lib/api";

const PARITY: Schema<"Parity"> = {
  token_ids_equal: true,
  thinking_ids_equal: null,
  tools_ids_equal: null,
  difference: null,
  max_logprob_diff: 0,
  mean_logprob_diff: 0,
  weights_sha256: "a".repeat(64),
  equal_to_base: false,
  renders: null,
};
const token = (id: number, text: string) => ({ id, text });

test("shows the tokens that differ side by side, and where", () => {
  const difference: Schema<"TokenDifference"> = {
    prompt: 0,
    of: "thinking_off",
    at: 40,
    start: 39,
    trainer: [token(1, "user"), token(2, "<think>"), token(3, "\n")],
    engine: [token(1, "user"), token(4, "\u202e<b>"), token(5, "")],
  };
  render(<Certificate parity={{ ...PARITY, thinking_ids_equal: false, difference }} />);
  const shown = within(screen.getByRole("region", { name: "The first tokens that differ" }));
  expect(shown.getByText(/from position 40 of prompt 0, with thinking switched off/)).toBeVisible();
  expect(shown.getByText("<think>")).toHaveClass("text-chosen", "underline");
  expect(shown.getByText("‹U+202E›<b>")).toHaveClass("text-rejected", "underline");
  expect(shown.getByText("[5]")).toBeVisible();
  for (const same of shown.getAllByText("user")) expect(same).not.toHaveClass("underline");
});

test("a side that ends first says that it does", () => {
  const difference: Schema<"TokenDifference"> = {
    prompt: 1,
    of: "prompt",
    at: 1,
    start: 0,
    trainer: [token(1, "user")],
    engine: [token(1, "user"), token(2, "x")],
  };
  render(<Certificate parity={{ ...PARITY, token_ids_equal: false, difference }} />);
  expect(screen.getByText("It ends before that token.")).toBeVisible();
});

test("says what was compared of tools and thinking, and nothing where there was nothing", () => {
  const { rerender } = render(<Certificate parity={PARITY} />);
  expect(screen.queryByText(/thinking|tools/i)).toBeNull();
  const renders = { tools: true, reasoning: true, enable_thinking: true, tool_parser: null };
  rerender(
    <Certificate
      parity={{ ...PARITY, thinking_ids_equal: true, tools_ids_equal: false, renders }}
    />,
  );
  expect(screen.getByText(/thinking on and off, they read the same/)).toBeVisible();
  expect(screen.getByText(/prompts with tools, they read different/)).toBeVisible();
  expect(screen.getByText(/calls of tools stay in the text/i)).toBeVisible();
});
