import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import type { Vote } from "@/features/playground/api/comparisons";
import { type Comparison, UNASKED } from "@/features/playground/comparison";
import { VoteBar } from "@/features/playground/components/vote-bar";
import { sessionQuery } from "@/lib/queries";

const sent: (Vote | null)[] = [];

// The server stores what it is sent, and answers with all of it.
vi.mock("@/features/playground/api/comparisons", () => ({
  vote: async (_id: string, body: Vote) => {
    sent.push(body);
    return { reason: null, note: null, edit: null, ...body };
  },
  takeBack: async () => {
    sent.push(null);
    return { choice: null, reason: null, note: null, edit: null };
  },
}));

beforeEach(() => {
  sent.splice(0);
  queries.clear();
  signedIn(["vote", "read", "chat"]);
});
const [a, b] = UNASKED.sides;
const ENDED: Comparison = {
  ...UNASKED,
  id: "cmp-1",
  isOver: true,
  sides: [
    { ...a, status: "done", text: "Because." },
    { ...b, status: "done", text: "No." },
  ],
};

const queries = new QueryClient({ defaultOptions: { queries: { staleTime: 60_000 } } });

function signedIn(scopes: string[]) {
  const session = { object: "session", key_id: "key-1", name: "viewer", scopes };
  queries.setQueryData(sessionQuery.queryKey, session as never);
}

function Voting() {
  const [comparison, setComparison] = useState(ENDED);
  return (
    <QueryClientProvider client={queries}>
      <VoteBar
        comparison={comparison}
        hasKeys
        unseen={[]}
        onVoted={(choice) => setComparison({ ...ENDED, choice })}
      />
    </QueryClientProvider>
  );
}

test("by keyboard: a vote, and the better answer edited; keys are text in its field", async () => {
  render(<Voting />);
  const user = userEvent.setup();
  await user.keyboard("1");
  expect(await screen.findByText(/Your vote is stored/)).toBeVisible();
  await user.keyboard("e");
  const field = screen.getByLabelText("Answer A as it should be");
  expect(field).toHaveFocus();
  expect(field).toHaveValue("Because.");
  await user.type(field, " It rains 2 e.{Control>}{Enter}{/Control}");
  await waitFor(() => expect(screen.queryByLabelText("Answer A as it should be")).toBeNull());
  expect(sent).toEqual([
    { choice: "a", edit: null },
    {
      choice: "a",
      reason: null,
      note: null,
      edit: { side: 0, text: "Because. It rains 2 e." },
    },
  ]);
  expect(screen.getByText(/A is edited/)).toBeVisible();
});

test("a reason and a note are sent with the vote, and another choice keeps them", async () => {
  render(<Voting />);
  const user = userEvent.setup();
  await user.click(screen.getByRole("button", { name: /^A is better/ }));
  await user.selectOptions(await screen.findByLabelText("Reason (optional)"), "clear");
  await user.click(screen.getByRole("button", { name: "Add a note" }));
  await user.type(screen.getByLabelText("Note"), "Says why.");
  await user.click(screen.getByRole("button", { name: "Save" }));
  expect(await screen.findByText("Says why.")).toBeVisible();
  await user.click(screen.getByRole("button", { name: /^B is better/ }));
  await waitFor(() => expect(sent).toHaveLength(4));
  expect(sent.at(-1)).toEqual({ choice: "b", reason: "clear", note: "Says why.", edit: null });
});

test("of a tie, either answer can be edited; an edit that changes nothing is left out", async () => {
  render(<Voting />);
  const user = userEvent.setup();
  await user.keyboard("3");
  await user.click(await screen.findByRole("button", { name: "Edit B" }));
  expect(screen.getByLabelText("Answer B as it should be")).toHaveValue("No.");
  await user.click(screen.getByRole("button", { name: "Save" }));
  await waitFor(() => expect(sent.at(-1)).toMatchObject({ choice: "tie", edit: null }));
});

test("a vote is taken back with all that belongs to it", async () => {
  render(<Voting />);
  const user = userEvent.setup();
  await user.keyboard("2");
  await user.click(await screen.findByRole("button", { name: "take it back" }));
  await waitFor(() => expect(screen.queryByText(/Your vote is stored/)).toBeNull());
  expect(screen.queryByLabelText("Reason (optional)")).toBeNull();
  expect(sent).toEqual([{ choice: "b", edit: null }, null]);
});

test("a key that may only read sees why it can't vote, and its keys do nothing", async () => {
  signedIn(["read"]);
  render(<Voting />);
  await userEvent.setup().keyboard("1");
  expect(screen.getByText(/needs a key with the scope “vote”/)).toBeVisible();
  expect(screen.queryByRole("button")).toBeNull();
  expect(sent).toEqual([]);
});
