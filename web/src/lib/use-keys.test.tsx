import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { describedKeys, useKeyNotes, useKeys } from "@/lib/use-keys";

const pressed: string[] = [];

function List({ canCompare }: { canCompare: boolean }) {
  useKeys({
    j: { does: "Next run", act: () => pressed.push("j") },
    ...(canCompare && { c: { does: "Compare", act: () => pressed.push("c") } }),
  });
  return <input aria-label="Filter" />;
}

function Chart() {
  useKeyNotes({ "← →": "In a chart: move by a step" });
  return null;
}

const keys = () => describedKeys().map(({ key }) => key);

test("what is described is what is bound now", async () => {
  const { rerender, unmount } = render(<List canCompare={false} />);
  const user = userEvent.setup();
  expect(keys()).toEqual(["j"]);
  await user.keyboard("c");
  expect(pressed).toEqual([]);
  rerender(<List canCompare />);
  expect(describedKeys()).toContainEqual({ key: "c", does: "Compare" });
  await user.keyboard("c");
  expect(pressed).toEqual(["c"]);
  unmount();
  expect(keys()).toEqual([]);
});

test("the keys of several charts are listed once", () => {
  render(
    <>
      <Chart />
      <Chart />
    </>,
  );
  expect(keys()).toEqual(["← →"]);
});

test("in a text field and in a dialog a letter is typed", async () => {
  render(
    <>
      <List canCompare />
      <dialog open>
        <button type="button">Close</button>
      </dialog>
    </>,
  );
  pressed.length = 0;
  const user = userEvent.setup();
  await user.type(screen.getByLabelText("Filter"), "jc");
  expect(screen.getByLabelText("Filter")).toHaveValue("jc");
  screen.getByRole("button").focus();
  await user.keyboard("j");
  expect(pressed).toEqual([]);
  // Once it is closed, its button has no key of its own, even while it still has the focus.
  screen.getByRole<HTMLDialogElement>("dialog").open = false;
  await user.keyboard("j");
  expect(pressed).toEqual(["j"]);
});
