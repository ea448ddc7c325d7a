import { render } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import { useStartInView } from "@/lib/use-start-in-view";

const scrolled = vi.fn();
let top = 0;

beforeEach(() => {
  scrolled.mockClear();
  Element.prototype.scrollIntoView = scrolled;
  Element.prototype.getBoundingClientRect = () => ({ top }) as DOMRect;
});

function Detail({ line, atFirst = false }: { line: number; atFirst?: boolean }) {
  const box = useStartInView<HTMLDivElement>(line, atFirst);
  return <div ref={box}>{line}</div>;
}

test("the next item is shown from its start if the last one was read to its end", () => {
  top = -900;
  const page = render(<Detail line={1} />);
  expect(scrolled).not.toHaveBeenCalled();
  page.rerender(<Detail line={2} />);
  expect(scrolled).toHaveBeenCalledExactlyOnceWith({ block: "start" });
  page.rerender(<Detail line={2} />);
  expect(scrolled).toHaveBeenCalledTimes(1);
});

test("an item whose start is in view stays where it is", () => {
  top = 200;
  const page = render(<Detail line={1} atFirst />);
  page.rerender(<Detail line={2} />);
  expect(scrolled).not.toHaveBeenCalled();
});

test("an item that opens below the fold is scrolled to", () => {
  top = window.innerHeight + 1;
  render(<Detail line={1} atFirst />);
  expect(scrolled).toHaveBeenCalledTimes(1);
});
