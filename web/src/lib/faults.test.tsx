import { render, screen } from "@testing-library/react";
import { useRef } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import { FaultsPanel } from "@/components/faults-panel";
import { TextField } from "@/components/ui/fields";
import { errorOf } from "@/lib/api";
import { ApiError } from "@/lib/api-error";
import { faultsOf, placed, useFirstFault } from "@/lib/faults";

beforeEach(() => {
  Element.prototype.scrollIntoView = vi.fn();
});
const FIELDS = ["seed", "lambda"];

/** A form with a folded field, as the form of a run. */
function Form({ error }: { error: Error }) {
  const box = useRef<HTMLFormElement>(null);
  const faults = placed(faultsOf(error), (param) =>
    param && FIELDS.includes(param) ? param : null,
  );
  useFirstFault(box, faults, error);
  return (
    <form ref={box}>
      <FaultsPanel placed={faults} error={error} />
      {FIELDS.map((name) => (
        <details key={name}>
          <summary>{name}</summary>
          <TextField
            name={name}
            label={name}
            value=""
            error={faults.at.get(name)}
            onChange={() => {}}
          />
        </details>
      ))}
    </form>
  );
}

const refused = new ApiError(400, "lambda must be 0 or more.", null, "lambda", "req_1", [
  { message: "lambda must be 0 or more.", param: "lambda" },
  { message: "The seed must be a whole number.", param: "seed" },
]);

test("every fault stands at its field at once; the first field of the page has the focus", () => {
  const { container } = render(<Form error={refused} />);
  const seed = screen.getByLabelText("seed");
  expect(seed).toHaveFocus();
  expect(seed).toHaveAccessibleDescription("The seed must be a whole number.");
  expect(screen.getByLabelText("lambda")).toHaveAccessibleDescription("lambda must be 0 or more.");
  expect(container.querySelectorAll("details[open]")).toHaveLength(2);
  expect(screen.getByRole("status")).toHaveTextContent("2 fields need a correction");
});

test("a fault of no field stands above the form", () => {
  render(<Form error={new ApiError(409, "Out of room.", null, "colour", "req_1")} />);
  expect(screen.getByRole("alert")).toHaveTextContent("Out of room.Request req_1");
});

test("the faults of an answer are those of its list, or its one message", async () => {
  const answer = (errors?: object[]) =>
    new Response(JSON.stringify({ error: { message: "No.", param: "a", code: null, errors } }));
  expect((await errorOf(answer())).faults).toEqual([{ message: "No.", param: "a" }]);
  const two = [
    { message: "No.", param: "a" },
    { message: "Nor this.", param: "b" },
  ];
  expect((await errorOf(answer(two))).faults).toEqual(two);
});
