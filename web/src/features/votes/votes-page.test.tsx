import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import type { ReactNode } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import { type Ranking, rankingQuery, votesQuery } from "@/features/votes/api";
import { VotesPage } from "@/features/votes/votes-page";
import { modelsQuery, sessionQuery } from "@/lib/queries";

const view = vi.hoisted(() => ({
  search: {} as Record<string, string>,
  went: [] as unknown[],
}));
vi.mock("@tanstack/react-router", () => ({
  Link: (props: { to: string; children: ReactNode }) => <a href={props.to}>{props.children}</a>,
  useSearch: () => view.search,
  useNavigate: () => (to: unknown) => view.went.push(to),
}));
beforeEach(() => {
  view.search = {};
  view.went = [];
});
const RANKING: Ranking = {
  object: "votes.ranking",
  agreement: null,
  votes: 0,
  counted: 0,
  enough: 20,
  models: [],
  pairs: [],
  side: null,
};

function shown(
  search: Record<string, string>,
  ranking: Ranking,
  scopes = ["read", "chat", "write"],
) {
  view.search = search;
  const queries = new QueryClient({ defaultOptions: { queries: { staleTime: 60_000 } } });
  const filter = search.choice === "tie" ? { choice: "tie" as const } : {};
  queries.setQueryData(rankingQuery({}).queryKey, ranking);
  const page = {
    object: "list" as const,
    data: [],
    has_more: false,
    first_id: null,
    last_id: null,
  };
  queries.setQueryData(votesQuery(filter).queryKey, { pages: [page], pageParams: [undefined] });
  queries.setQueryData(modelsQuery.queryKey, { data: [], has_more: false });
  const session = { object: "session", key_id: "k", name: "n", scopes, expires_at: 0 };
  queries.setQueryData(sessionQuery.queryKey, session as never);
  render(
    <QueryClientProvider client={queries}>
      <VotesPage />
    </QueryClientProvider>,
  );
}

test("without a vote, the page says how to vote and leads to the playground", () => {
  shown({}, RANKING);
  expect(screen.getByText("No votes yet")).toBeVisible();
  expect(screen.getByRole("link", { name: "Open the playground" })).toBeVisible();
  expect(screen.queryByRole("button", { name: "Make a file" })).toBeNull();
});

test("a filter without a vote says so, and stands in the address", async () => {
  shown({ choice: "tie", reason: "unknown" }, { ...RANKING, votes: 3 });
  expect(screen.getByText("No vote fits this filter.")).toBeVisible();
  expect(screen.getByLabelText("Choice")).toHaveValue("tie");
  expect(screen.getByLabelText("Reason")).toHaveValue("");
  const user = userEvent.setup();
  await user.selectOptions(screen.getByLabelText("Reason"), "style");
  await user.click(screen.getByRole("button", { name: "Make a file" }));
  await user.click(screen.getByRole("button", { name: "All votes" }));
  expect(view.went).toMatchObject([
    { search: { choice: "tie", reason: "style" } },
    { search: { choice: "tie", make: "file" } },
    { search: {} },
  ]);
});

test("a key that may only read can't make a file", () => {
  shown({}, { ...RANKING, votes: 3 }, ["read"]);
  expect(screen.getByRole("button", { name: "Make a file" })).toBeDisabled();
});
