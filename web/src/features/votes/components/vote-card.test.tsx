import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import type { ReactNode } from "react";
import { expect, test, vi } from "vitest";
import type { Vote } from "@/features/votes/api";
import { VoteCard } from "@/features/votes/components/vote-card";
import { sessionQuery } from "@/lib/queries";

vi.mock("@tanstack/react-router", () => ({
  Link: (props: { to: string; search: Record<string, string>; children: ReactNode }) => (
    <a href={`${props.to}?${new URLSearchParams(props.search)}`}>{props.children}</a>
  ),
}));
const HOSTILE = "<img src=x onerror=alert(1)> \u202ereversed";
const side = (at: number, text: string, question = "Why?") =>
  ({
    side: at,
    model: at === 0 ? "tuned" : `base ${HOSTILE}`,
    text,
    finish_reason: at === 0 ? "stop" : "length",
    asked: { messages: [{ role: "user", content: question }] },
  }) as Vote["sides"][number];
const VOTE: Vote = {
  id: "cmp-1",
  object: "comparison",
  created_at: 1,
  ended: true,
  sides: [
    side(0, "The bread is kept warm in the oven."),
    side(1, "The bread is kept cold in the oven."),
  ],
  held_out: null,
  choice: "a",
  reason: "clear",
  note: `Says why. ${HOSTILE}`,
  edit: { side: 0, text: `The bread is kept very warm in the oven. ${HOSTILE}` },
  voted_at: 1_764_000_000,
  voted_by: "key-1",
  voter: "Ada",
  cut: false,
};

function drawn(vote: Vote): HTMLElement {
  const queries = new QueryClient();
  const session = { object: "session", key_id: "key-9", name: "own", scopes: ["vote", "chat"] };
  queries.setQueryData(sessionQuery.queryKey, session as never);
  return render(
    <QueryClientProvider client={queries}>
      <VoteCard vote={vote} />
    </QueryClientProvider>,
  ).container;
}

test("a vote shows its answers, what differs, its reason and its voter", () => {
  drawn(VOTE);
  const better = within(screen.getByRole("region", { name: "Answer A" }));
  expect(better.getByText("✓ better")).toBeVisible();
  expect(better.getByText("warm").tagName).toBe("INS");
  const other = within(screen.getByRole("region", { name: "Answer B" }));
  expect(other.getByText("cold").tagName).toBe("DEL");
  expect(other.getByText(/cut off at max tokens/)).toBeVisible();
  expect(screen.getByRole("region", { name: "Edit of answer A" })).toHaveTextContent("very warm");
  expect(screen.getByText("Ada")).toBeVisible();
  expect(screen.getByText(/Clarity/)).toBeVisible();
  expect(screen.getByRole("link", { name: "Ask both again" })).toHaveAttribute(
    "href",
    expect.stringContaining("ask=Why%3F"),
  );
});

test("what people and models wrote can run nothing and hides nothing", () => {
  const page = drawn(VOTE);
  expect(page.querySelector("img, script")).toBeNull();
  expect(page.textContent).not.toContain("\u202e");
  expect(page.textContent).toContain("<img src=x onerror=alert(1)>");
});

test("of a tie, nothing is marked as better", () => {
  const page = drawn({ ...VOTE, choice: "tie", edit: null });
  expect(page.querySelector("ins, del")).toBeNull();
  expect(screen.queryByText("✓ better")).toBeNull();
});

test("sides that were asked different things each show their question", () => {
  drawn({ ...VOTE, sides: [side(0, "Yes.", "First?"), side(1, "No.", "Second?")] });
  expect(screen.getByText("First?")).toBeVisible();
  expect(screen.getByText("Second?")).toBeVisible();
  expect(screen.queryByRole("link")).toBeNull();
});

test("a long answer opens on a click", async () => {
  drawn({ ...VOTE, edit: null, sides: [side(0, "word ".repeat(400)), side(1, "No.")] });
  const button = screen.getByRole("button", { name: "Show the whole text" });
  expect(button).toHaveAttribute("aria-expanded", "false");
  await userEvent.setup().click(button);
  expect(screen.getByRole("button", { name: "Show the beginning" })).toHaveAttribute(
    "aria-expanded",
    "true",
  );
});
