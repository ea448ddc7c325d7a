import { QueryClient, QueryClientProvider, queryOptions } from "@tanstack/react-query";
import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { pagesOf } from "@/features/files/components/rows";
import { Masked } from "@/features/files/components/unmask-toggle";
import { droppedQuery, type FileRow, partQuery, rowAtQuery } from "@/features/files/rows-api";
import { shownRow, UnmaskProvider, useUnmasked } from "@/features/files/unmask";

const row = (place: number, prompt: string, masked: boolean): FileRow => ({
  place,
  line: place + 1,
  prompt: [{ role: "user", content: prompt }],
  chosen: [],
  rejected: null,
  tools: null,
  findings: [],
  group: null,
  masked,
  cut: false,
});

const content = (shown: FileRow) => shown.prompt[0]?.content;
const MASKED = [row(0, "Why?", false), row(1, "Ask [email].", true)];
const WHOLE = [row(0, "Why?", false), row(1, "Ask jane@kestrel-mail.net.", false)];

/** Two lists of which one has a masked row. */
function Rows({ read }: { read: (name: string) => Promise<{ rows: FileRow[]; total: number }> }) {
  const unmasked = (name: string) =>
    queryOptions({
      queryKey: [name] as readonly unknown[],
      queryFn: () => read(name),
      retry: false,
    });
  const { show, failed } = useUnmasked([
    { rows: MASKED, unmasked: unmasked("with") },
    { rows: [row(7, "How?", false)], unmasked: unmasked("without") },
  ]);
  return (
    <>
      {MASKED.map(show).map((each) => (
        <article key={each.place}>
          {content(each)}
          {(each.masked || each.isUnmasked) && <Masked isUnmasked={each.isUnmasked ?? false} />}
        </article>
      ))}
      {failed && <p role="alert">{failed.error?.message}</p>}
    </>
  );
}

const show = (read: Parameters<typeof Rows>[0]["read"]) =>
  render(
    <QueryClientProvider client={new QueryClient()}>
      <UnmaskProvider>
        <Rows read={read} />
      </UnmaskProvider>
    </QueryClientProvider>,
  );

test("rows with personal data are read again when they are to be shown, and masked at once", async () => {
  const read = vi.fn(async (_: string) => ({ rows: WHOLE, total: 2 }));
  show(read);
  const toggle = screen.getByRole("button", { name: "Show personal data" });
  expect(toggle).toHaveAttribute("aria-pressed", "false");
  expect(read).not.toHaveBeenCalled();
  toggle.focus();
  await userEvent.keyboard(" ");
  expect(toggle).toHaveAttribute("aria-pressed", "true");
  await screen.findByText(/jane@kestrel-mail.net/);
  expect(read.mock.calls).toEqual([["with"]]);
  expect(toggle).toHaveFocus();
  await userEvent.keyboard(" ");
  expect(screen.queryByText(/jane@/)).toBeNull();
  expect(screen.getByText(/Ask \[email\]\./)).toBeVisible();
});

test("what can't be read stays masked, with the reason", async () => {
  show(async () => {
    throw new Error("The server is busy.");
  });
  await userEvent.click(screen.getByRole("button"));
  await waitFor(() => expect(screen.getByRole("alert")).toHaveTextContent("The server is busy."));
  expect(screen.getByText(/Ask \[email\]\./)).toBeVisible();
  expect(screen.getByRole("button")).toHaveAttribute("aria-pressed", "true");
});

test("only a masked row is replaced, by the row at its place", () => {
  const whole = new Map(WHOLE.map((each) => [each.place, each]));
  const [plain, masked] = MASKED as [FileRow, FileRow];
  expect(shownRow(plain, whole)).toBe(plain);
  expect(shownRow(masked, whole)).toMatchObject({ isUnmasked: true, line: 2 });
  expect(shownRow(masked, new Map())).toBe(masked);
});

test("masked and unmasked answers have keys of their own", () => {
  const keys = [false, true].flatMap((unmask) => [
    partQuery("f", undefined, 0, unmask).queryKey,
    partQuery("f", "email", 0, unmask).queryKey,
    rowAtQuery("f", 0, unmask).queryKey,
    droppedQuery("f", unmask).queryKey,
  ]);
  expect(new Set(keys.map((key) => JSON.stringify(key))).size).toBe(keys.length);
});

test("the pages of a search in view, and that of the selected row", () => {
  const page = (name: string, count: number) => ({ name, data: Array(count).fill(0) });
  const pages = [page("a", 50), page("b", 3), page("c", 50)];
  const names = (...at: [number, number, number]) => pagesOf(pages, at).map(({ name }) => name);
  expect(names(0, 14, 0)).toEqual(["a"]);
  expect(names(49, 51, 60)).toEqual(["a", "b", "c"]);
  expect(names(53, 60, 0)).toEqual(["a", "c"]);
  expect(names(0, 1, -1)).toEqual(["a"]);
});
