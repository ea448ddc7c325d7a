import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import type { Comparison } from "@/features/votes/cards/api";
import { VoteForm } from "@/features/votes/cards/vote-form";
import { revealedText } from "@/features/votes/cards/words";

const side = (at: number, text: string, model: string | null = null) => ({
  side: at,
  model,
  base_model: null,
  deployment_id: null,
  adapter: null,
  checkpoint_step: null,
  weights_sha256: null,
  device: null,
  asked: {},
  text,
});
const comparison = {
  id: "cmp-1",
  object: "comparison",
  created_at: 0,
  ended: true,
  sides: [side(0, "Left."), side(1, "Right.")],
  held_out: null,
  choice: null,
  voted_at: null,
  cut: false,
} as Comparison;

const onVote = vi.fn();
const onUndo = vi.fn();

beforeEach(() => {
  onVote.mockReset();
  onUndo.mockReset();
});
const drawn = (isBusy = false, undo: (() => void) | null = onUndo) =>
  render(<VoteForm comparison={comparison} isBusy={isBusy} onVote={onVote} onUndo={undo} />);

const press = (key: string, target: Element | Document = document) =>
  fireEvent.keyDown(target, { key });

const PLAIN = { edit: null, reason: null, note: null };

test("keys vote and take the last vote back", () => {
  drawn();
  for (const [key, choice] of [
    ["1", "a"],
    ["2", "b"],
    ["3", "tie"],
    ["4", "both_bad"],
  ] as const) {
    press(key);
    expect(onVote).toHaveBeenLastCalledWith({ choice, ...PLAIN });
  }
  press("u");
  expect(onUndo).toHaveBeenCalledOnce();
});

test("a key in a text field is text", () => {
  drawn();
  press("1", screen.getByLabelText("Note (optional)"));
  press("2", screen.getByLabelText("Why (optional)"));
  expect(onVote).not.toHaveBeenCalled();
});

test("nothing is sent twice, and nothing is undone where there is no vote", () => {
  drawn(true);
  press("1");
  press("u");
  cleanup();
  drawn(false, null);
  press("u");
  expect(onVote).not.toHaveBeenCalled();
  expect(onUndo).not.toHaveBeenCalled();
  expect(screen.getByRole("button", { name: "Undo the last vote" })).toBeDisabled();
});

test("a reason and a note go with the vote", () => {
  drawn();
  fireEvent.change(screen.getByLabelText("Why (optional)"), { target: { value: "short" } });
  fireEvent.change(screen.getByLabelText("Note (optional)"), { target: { value: " brief " } });
  fireEvent.click(screen.getByRole("button", { name: "B is better" }));
  expect(onVote).toHaveBeenCalledWith({ choice: "b", edit: null, reason: "short", note: "brief" });
});

test("the edited answer is the better one", () => {
  drawn();
  press("e");
  fireEvent.change(screen.getByLabelText("The better answer"), { target: { value: "1" } });
  const text = screen.getByLabelText("As it should be");
  expect(text).toHaveValue("Right.");
  const save = screen.getByRole("button", { name: "Save and vote for B" });
  expect(save).toBeDisabled();
  fireEvent.change(text, { target: { value: "Right and short." } });
  fireEvent.keyDown(text, { key: "Enter", ctrlKey: true });
  const edit = { side: 1, text: "Right and short." };
  expect(onVote).toHaveBeenCalledWith({ ...PLAIN, choice: "b", edit });
  expect(onVote).toHaveBeenCalledOnce();
});

test("what was revealed names both models and the choice", () => {
  const sides = [side(0, "Left.", "base"), side(1, "Right.", "tuned")];
  const told = (choice: Comparison["choice"]) => revealedText({ ...comparison, sides, choice });
  expect(told("b")).toBe("A was base, B was tuned; you chose B.");
  expect(told("both_bad")).toBe("A was base, B was tuned; you called both bad.");
});
