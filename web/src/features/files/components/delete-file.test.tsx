import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import {
  createMemoryHistory,
  createRootRoute,
  createRouter,
  RouterProvider,
} from "@tanstack/react-router";
import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DeleteFile } from "@/features/files/components/delete-file";
import { client } from "@/lib/api";

beforeEach(() => {
  // jsdom has no dialogs.
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
  };
});
afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

async function asked(runs: object[], has_more = false) {
  const get = vi.spyOn(client, "GET").mockResolvedValue({
    data: { data: runs, has_more },
    response: new Response(),
  } as never);
  const router = createRouter({
    routeTree: createRootRoute({
      component: () => <DeleteFile fileId="file-1" filename="pairs.jsonl" />,
    }),
    history: createMemoryHistory(),
  });
  render(
    <QueryClientProvider client={new QueryClient()}>
      <RouterProvider router={router as never} />
    </QueryClientProvider>,
  );
  const button = await screen.findByRole("button", { name: "Delete" });
  expect(get).not.toHaveBeenCalled();
  await userEvent.setup().click(button);
  return get;
}

test("before a file is deleted, the runs that used it are named", async () => {
  const get = await asked([
    { id: "ftjob-1", name: "warm", status: "succeeded" },
    { id: "ftjob-2", name: null, status: "failed" },
  ]);
  expect(await screen.findByText(/can't be repeated without it/)).toBeVisible();
  expect(screen.getAllByRole("listitem").map((item) => item.textContent)).toEqual([
    "warm (succeeded)",
    "2 (failed)",
  ]);
  expect(get.mock.calls[0]?.[1]).toMatchObject({
    params: { query: { file: "file-1", archived: "all" } },
  });
});

test("a file that no run used says so", async () => {
  await asked([]);
  expect(await screen.findByText("No run used it.")).toBeVisible();
});
