import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { InfoMark } from "@/components/info-mark";

test("ids are behind a button that opens them, each with a button that copies it", () => {
  render(
    <InfoMark
      about="short"
      facts={[
        ["Id", "ftjob-1"],
        ["Tuned model", null],
        ["SHA-256", "ab12"],
      ]}
    />,
  );
  const mark = screen.getByRole("button", { name: "Ids of short" });
  const box = document.getElementById(mark.getAttribute("popovertarget") ?? "");
  expect(box).toHaveAttribute("popover", "auto");
  expect(box?.querySelectorAll("dt")).toHaveLength(2);
  expect(box).toHaveTextContent("ftjob-1");
  expect(box).toHaveTextContent("ab12");
  const copies = [...(box?.querySelectorAll("button") ?? [])];
  expect(copies.map((each) => each.getAttribute("aria-label"))).toEqual([
    "Copy Id of short",
    "Copy SHA-256 of short",
  ]);
});

test("without a fact there is no mark", () => {
  const { container } = render(<InfoMark about="short" facts={[["Id", undefined]]} />);
  expect(container).toBeEmptyDOMElement();
});
