import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { NoticeBar } from "@/components/notice-bar";
import { type Job, keys } from "@/features/jobs/api";
import { ArchiveButton } from "@/features/jobs/components/archive-button";
import { RunName } from "@/features/jobs/run/run-name";
import { RunNotes } from "@/features/jobs/run/run-notes";
import { RunTags } from "@/features/jobs/run/run-tags";
import { client } from "@/lib/api";
import { notify } from "@/lib/notice";
import { sessionQuery } from "@/lib/queries";

const JOB = {
  id: "ftjob-12345678abcd",
  name: "short",
  tags: ["abl"],
  notes: "",
  archived: false,
  fine_tuned_model: null,
} as unknown as Job;

/** What was sent, and what the server answers: the job with the change, or an error. */
const sent: unknown[] = [];
let refusal: string | null = null;

beforeEach(() => {
  sent.length = 0;
  refusal = null;
  vi.spyOn(client, "POST").mockImplementation((async (_: string, { body }: { body: object }) => {
    sent.push(body);
    if (refusal)
      return {
        error: { error: { message: refusal } },
        response: new Response(null, { status: 400 }),
      };
    return { data: { ...JOB, ...body }, response: new Response() };
  }) as never);
});
afterEach(() => {
  cleanup();
  notify(null);
  vi.restoreAllMocks();
});

function shown(content: ReactNode, scopes = ["read", "write"]) {
  const queries = new QueryClient({ defaultOptions: { queries: { staleTime: 60_000 } } });
  queries.setQueryData(sessionQuery.queryKey, { name: "k", scopes } as never);
  queries.setQueryData(keys.list, [JOB]);
  render(<QueryClientProvider client={queries}>{content}</QueryClientProvider>);
  return { queries, user: userEvent.setup() };
}

test("a run is renamed in place, and the list has the new name", async () => {
  const { user, queries } = shown(<RunName job={JOB} />);
  await user.click(screen.getByRole("button", { name: "Rename the run" }));
  await user.keyboard("λ 0.2 again{Enter}");
  expect(sent).toEqual([{ name: "λ 0.2 again" }]);
  expect(await screen.findByRole("button", { name: "Rename the run" })).toBeVisible();
  expect(queries.getQueryData<Job[]>(keys.list)?.[0]?.name).toBe("λ 0.2 again");
});

test("Escape leaves the name, an empty one returns to the first, a refused one says why", async () => {
  const { user } = shown(<RunName job={JOB} />);
  const open = () => user.click(screen.getByRole("button", { name: "Rename the run" }));
  await open();
  await user.keyboard("x{Escape}");
  expect(sent).toEqual([]);
  await open();
  refusal = "A name is one line.";
  await user.keyboard("{Backspace}{Enter}");
  expect(sent).toEqual([{ name: null }]);
  expect(await screen.findByRole("alert")).toHaveTextContent("A name is one line.");
});

test("tags are added and removed", async () => {
  const { user } = shown(<RunTags job={JOB} />);
  await user.click(screen.getByRole("button", { name: "Add a tag" }));
  await user.keyboard("b2, b3{Enter}");
  expect(sent).toEqual([{ tags: ["abl", "b2", "b3"] }]);
  await user.click(await screen.findByRole("button", { name: "Remove the tag abl" }));
  expect(sent[1]).toEqual({ tags: [] });
});

test("notes are shown as text", async () => {
  const job = { ...JOB, notes: "<b>Line one</b>\nand two" };
  const { user } = shown(<RunNotes job={job} />);
  expect(screen.getByRole("region", { name: "Notes" })).toHaveTextContent("<b>Line one</b>");
  await user.click(screen.getByRole("button", { name: "Edit the notes" }));
  await user.type(screen.getByRole("textbox", { name: "Notes" }), "!");
  await user.click(screen.getByRole("button", { name: "Save the notes" }));
  expect(sent).toEqual([{ notes: "<b>Line one</b>\nand two!" }]);
});

test("what was archived can be brought back from the notice", async () => {
  const { user } = shown(
    <>
      <ArchiveButton jobs={[JOB]} />
      <NoticeBar />
    </>,
  );
  await user.click(screen.getByRole("button", { name: "Archive" }));
  expect(await screen.findByText("Archived short.")).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Undo" }));
  expect(sent).toEqual([{ archived: true }, { archived: false }]);
  await vi.waitFor(() => expect(screen.queryByText("Archived short.")).toBeNull());
});

test("an undo that is refused says why", async () => {
  const { user } = shown(
    <>
      <ArchiveButton jobs={[JOB]} />
      <NoticeBar />
    </>,
  );
  await user.click(screen.getByRole("button", { name: "Archive" }));
  refusal = "The server is in maintenance.";
  await user.click(await screen.findByRole("button", { name: "Undo" }));
  expect(await screen.findByText("The server is in maintenance.")).toBeVisible();
});

test("a key that only reads sees the labels and no way to change them", () => {
  shown(
    <>
      <RunName job={JOB} />
      <RunTags job={JOB} />
      <RunNotes job={{ ...JOB, notes: "Seen." }} />
    </>,
    ["read"],
  );
  expect(screen.getByText("Seen.")).toBeVisible();
  expect(screen.getByText("abl")).toBeVisible();
  for (const name of [/Rename/, /Add a tag/, /Remove/, /Edit/])
    expect(screen.queryByRole("button", { name })).toBeNull();
});
