import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test, vi } from "vitest";
import { RatersCard } from "@/features/votes/raters/raters-card";
import { ApiError } from "@/lib/api-error";

type Key = { id: string; name: string; votes: number; created_at: number };

const server = vi.hoisted(() => ({
  raters: [] as Key[],
  sent: [] as unknown[],
  error: null as Error | null,
}));
vi.mock("@/lib/api-keys", () => ({
  ratersQuery: (id: string) => ({
    queryKey: ["api-keys", "raters", id],
    queryFn: async () => ({ data: [...server.raters] }),
  }),
  createKey: async (body: { name: string }) => {
    server.sent.push(body);
    if (server.error) throw server.error;
    const made = { id: `key-${body.name}`, name: body.name, votes: 0, created_at: 0 };
    server.raters.push(made);
    return { ...made, path: "/vote#key=sk-odd-secret" };
  },
  revokeKey: async (id: string) => {
    server.sent.push(id);
    server.raters = server.raters.filter((each) => each.id !== id);
  },
}));

// jsdom has no dialogs.
HTMLDialogElement.prototype.showModal = function show() {
  this.open = true;
};
HTMLDialogElement.prototype.close = function close() {
  this.open = false;
};

beforeEach(() => {
  Object.assign(server, { raters: [], sent: [], error: null });
});
function drawn() {
  render(
    <QueryClientProvider client={new QueryClient()}>
      <RatersCard evaluationId="eval-1" onClose={() => {}} />
    </QueryClientProvider>,
  );
  return userEvent.setup();
}

test("a link is made for a name, and shown with its rater", async () => {
  const user = drawn();
  await user.type(screen.getByLabelText("Name of the rater"), " Ada {Enter}");
  const made = await screen.findByRole("region", { name: "The link for Ada" });
  expect(made).toHaveTextContent(`${location.origin}/vote#key=sk-odd-secret`);
  expect(made).toHaveTextContent("localhost is an address of this machine only");
  expect(within(made).getByRole("button", { name: "Copy the link" })).toBeVisible();
  expect(server.sent).toEqual([{ name: "Ada", scopes: ["vote"], evaluation_id: "eval-1" }]);
  expect(await screen.findByRole("cell", { name: "Ada" })).toBeVisible();
});

test("what the API refuses is said beside its field", async () => {
  server.error = new ApiError(400, "The name is too long.", "invalid_value", "name");
  const user = drawn();
  const field = screen.getByLabelText("Name of the rater");
  await user.type(field, "Ada{Enter}");
  expect(await screen.findByRole("alert")).toHaveTextContent("The name is too long.");
  expect(field).toHaveAccessibleDescription("The name is too long.");
  expect(screen.queryByRole("region", { name: /The link for/ })).toBeNull();
});

test("raters are listed with their votes, and a link is revoked after a question", async () => {
  server.raters = [{ id: "key-1", name: "Ada \u202e", votes: 1200, created_at: 0 }];
  const user = drawn();
  const row = (await screen.findAllByRole("row")).at(-1);
  expect(row).toHaveTextContent("Ada ‹U+202E›");
  expect(row).toHaveTextContent("1,200");
  await user.click(screen.getByRole("button", { name: /^Revoke the link of Ada/ }));
  expect(server.sent).toEqual([]);
  await user.click(screen.getByRole("button", { name: "Revoke the link" }));
  await waitFor(() => expect(screen.queryByRole("table")).toBeNull());
  expect(server.sent).toEqual(["key-1"]);
});
