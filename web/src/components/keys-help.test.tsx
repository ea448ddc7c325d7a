import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeAll, expect, test } from "vitest";
import { KeysHelp } from "@/components/keys-help";
import { useKeys } from "@/lib/use-keys";

beforeAll(() => {
  // jsdom has no modal dialogs.
  HTMLDialogElement.prototype.showModal = function showModal() {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function close() {
    this.open = false;
    this.dispatchEvent(new Event("close"));
  };
});

function Page() {
  useKeys({ "/": { does: "Filter the runs", act: () => {} } });
  return <input aria-label="Filter" />;
}

test("? shows the keys of the page, and a text field gets the question mark", async () => {
  render(
    <>
      <Page />
      <KeysHelp />
    </>,
  );
  const user = userEvent.setup();
  const field = screen.getByLabelText("Filter");
  await user.type(field, "why?");
  expect(field).toHaveValue("why?");
  expect(screen.queryByRole("dialog")).toBeNull();
  field.blur();
  await user.keyboard("?");
  const dialog = await screen.findByRole(
    "dialog",
    { name: "Keys of this page" },
    { timeout: 10_000 }, // its code is loaded first
  );
  expect(dialog).toHaveTextContent("Filter the runs");
  expect(dialog).toHaveTextContent("Show this list");
  await user.click(screen.getByRole("button", { name: "Close" }));
  expect(screen.queryByRole("dialog")).toBeNull();
});
