import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import type { ReactNode } from "react";
import { expect, test } from "vitest";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { Needs, ReadOnlyNotice } from "@/components/needs";
import { Button } from "@/components/ui/button";
import { sessionQuery } from "@/lib/queries";

function signedIn(scopes: string[], children: ReactNode) {
  const queries = new QueryClient();
  const session = { object: "session", key_id: "key-1", name: "viewer", scopes, expires_at: 0 };
  queries.setQueryData(sessionQuery.queryKey, session as never);
  render(<QueryClientProvider client={queries}>{children}</QueryClientProvider>);
}

const deletion = (
  <Needs scope="write">
    <ConfirmDialog
      title="Delete it?"
      confirm="Delete"
      onConfirm={async () => {}}
      trigger={<Button>Delete it</Button>}
    >
      It goes.
    </ConfirmDialog>
  </Needs>
);

test("a key that may write can press the button and sees no notice", () => {
  signedIn(
    ["read", "chat", "write"],
    <>
      <ReadOnlyNotice />
      {deletion}
    </>,
  );
  expect(screen.getByRole("button", { name: "Delete it" })).toBeEnabled();
  expect(screen.queryByRole("note")).toBeNull();
});

test("for a key that may only read, the button is disabled and the reason names the scope", () => {
  signedIn(
    ["read"],
    <>
      <ReadOnlyNotice />
      {deletion}
    </>,
  );
  const button = screen.getByRole("button", { name: "Delete it" });
  expect(button).toBeDisabled();
  expect(button.closest("[title]")).toHaveAttribute("title", expect.stringContaining("“write”"));
  expect(screen.getByRole("note")).toHaveTextContent("signed in with “viewer”");
});

test("a link to a form is hidden, and the form is replaced by the reason", () => {
  signedIn(
    ["read"],
    <>
      <Needs scope="write" lacking="hidden">
        <a href="/jobs/new">New run</a>
      </Needs>
      <Needs scope="write" lacking="explained">
        <Button>Start the run</Button>
      </Needs>
    </>,
  );
  expect(screen.queryByRole("link")).toBeNull();
  expect(screen.queryByRole("button")).toBeNull();
  expect(screen.getByText(/needs a key with the scope “write”/)).toBeVisible();
});
