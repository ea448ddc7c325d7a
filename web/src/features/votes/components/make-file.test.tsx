import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import type { ReactNode } from "react";
import { expect, test, vi } from "vitest";
import { previewQuery } from "@/features/votes/api";
import { MakeFile } from "@/features/votes/components/make-file";
import { modelsQuery, sessionQuery } from "@/lib/queries";

vi.mock("@tanstack/react-router", () => ({
  Link: (props: { to: string; search?: Record<string, string>; children: ReactNode }) => (
    <a href={`${props.to}?${new URLSearchParams(props.search)}`}>{props.children}</a>
  ),
}));

const COUNTS = {
  votes: 37,
  pairs: 31,
  edited: 0,
  ties: 4,
  both_bad: 0,
  not_a_pair: 0,
  cut_off: 0,
  held_out: 0,
  contradictions: 2,
  repeated: 0,
};
const FILE = { id: "file-1", filename: "mine.jsonl", status: "processed" };
const FILTER = { model: "ft:base:org::1" };

const sent: unknown[] = [];
vi.mock("@/features/votes/api", async (original) => ({
  ...(await original<typeof import("@/features/votes/api")>()),
  makeFile: async (_queries: QueryClient, filter: object, filename: string) => {
    sent.push({ filter, filename });
    return FILE;
  },
}));
function shown(scopes: string[], counts = COUNTS) {
  const queries = new QueryClient({ defaultOptions: { queries: { staleTime: 60_000 } } });
  const session = { object: "session", key_id: "key-1", name: "viewer", scopes, expires_at: 0 };
  queries.setQueryData(sessionQuery.queryKey, session as never);
  const models = [{ id: "ft:base:org::1", job_id: "ftjob-1" }];
  queries.setQueryData(modelsQuery.queryKey, { data: models, has_more: false } as never);
  const preview = { object: "votes.preview", counts, contradicted: [["cmp-1", "cmp-2"]] };
  queries.setQueryData(previewQuery(FILTER).queryKey, preview as never);
  render(
    <QueryClientProvider client={queries}>
      <MakeFile filter={FILTER} voted={["ft:base:org::1"]} onClose={() => {}} />
    </QueryClientProvider>,
  );
}

test("a file is made under its name, and leads to a run with the settings of the parent", async () => {
  shown(["read", "chat", "write"]);
  expect(screen.getByText("37 votes become 31 pairs.")).toBeVisible();
  expect(screen.getByRole("list", { name: "Votes that are left out" }).children).toHaveLength(2);
  expect(screen.getByRole("link", { name: "Show contradiction 1" })).toHaveAttribute(
    "href",
    "/votes?vote=cmp-1%2Ccmp-2",
  );
  const user = userEvent.setup();
  await user.type(screen.getByLabelText("Name of the file (optional)"), "mine");
  await user.click(screen.getByRole("button", { name: "Make the file" }));
  expect(await screen.findByRole("link", { name: "Train on this file" })).toHaveAttribute(
    "href",
    "/jobs/new?file=file-1&from=ftjob-1",
  );
  expect(sent).toEqual([{ filter: FILTER, filename: "mine" }]);
});

test("a key that may only read is told why it can make no file", () => {
  shown(["read"]);
  expect(screen.getByText(/needs a key with the scope “write”/)).toBeVisible();
  expect(screen.queryByRole("button", { name: "Make the file" })).toBeNull();
});

test("where no vote becomes a pair, there is nothing to make", () => {
  shown(["read", "chat", "write"], { ...COUNTS, votes: 4, pairs: 0, contradictions: 0 });
  expect(screen.getByText(/No vote becomes a pair/)).toBeVisible();
  expect(screen.queryByRole("button", { name: "Make the file" })).toBeNull();
});
