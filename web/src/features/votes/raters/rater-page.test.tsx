import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import type { ReactNode } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import type { Deal } from "@/features/votes/cards/api";
import { RaterPage } from "@/features/votes/raters/rater-page";
import { ApiError } from "@/lib/api-error";

const server = vi.hoisted(() => ({
  hash: "",
  /** What a browser is signed in with; null for nothing. */
  session: null as null | { name: string; evaluation_id: string | null },
  /** What the link's key would sign in with. */
  link: null as null | { name: string; evaluation_id: string | null },
  deal: null as unknown,
  said: [] as string[],
}));
vi.mock("@tanstack/react-router", async () => {
  const { useSyncExternalStore } = await import("react");
  let redraw = () => {};
  const subscribe = (listener: () => void) => {
    redraw = listener;
    return () => {};
  };
  const replace = (to: string) => {
    server.said.push(`at ${to}`);
    server.hash = "";
    redraw();
  };
  const router = { history: { replace } };
  return {
    useLocation: () => ({ hash: useSyncExternalStore(subscribe, () => server.hash) }),
    useRouter: () => router,
  };
});
vi.mock("@/components/server-data", () => ({
  ServerData: ({ children }: { children: ReactNode }) => (
    <QueryClientProvider
      client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}
    >
      {children}
    </QueryClientProvider>
  ),
}));
const signedOut = () => new ApiError(401, "You are signed out.", "signed_out");
vi.mock("@/lib/session", () => ({
  signIn: async ({ api_key }: { api_key: string }) => {
    server.said.push(`in with ${api_key}`);
    if (!server.link) throw signedOut();
    server.session = server.link;
    return server.link;
  },
  signOut: async () => {
    server.said.push("out");
    server.session = null;
  },
}));
vi.mock("@/lib/queries", () => ({
  sessionQuery: {
    queryKey: ["session"],
    queryFn: async () => {
      if (!server.session) throw signedOut();
      return server.session;
    },
  },
}));
vi.mock("@/features/votes/cards/api", () => ({
  dealQuery: (id: string) => ({
    queryKey: ["cards", id],
    queryFn: async () => {
      if (!server.deal) throw signedOut();
      return server.deal;
    },
  }),
}));

const side = (at: number, text: string) => ({
  side: at,
  model: null,
  asked: { messages: [{ role: "user", content: "Why?" }] },
  text,
});
const DEAL = {
  card: {
    comparison: { id: "cmp-1", sides: [side(0, "Left."), side(1, "Right.")] },
    names_model: [false, false],
  },
  undoable: null,
  revealed: null,
  voted: 3,
  of: 20,
} as unknown as Deal;
const ADA = { name: "Ada", evaluation_id: "eval-1" };

beforeEach(() => {
  Object.assign(server, { hash: "", session: null, link: null, deal: DEAL, said: [] });
});
test("a link signs in, leaves the address and shows the first card", async () => {
  server.hash = "key=sk-odd-secret";
  server.link = ADA;
  render(<RaterPage />);
  expect(await screen.findByRole("heading", { name: "Which answer is better?" })).toBeVisible();
  expect(await screen.findByRole("article", { name: "Answer B" })).toHaveTextContent("Right.");
  expect(screen.getByText("3 of at most 20 cards have your vote")).toBeVisible();
  expect(screen.getByText("Ada")).toBeVisible();
  expect(screen.queryByRole("link")).toBeNull();
  expect(server.said).toEqual(["at /vote", "in with sk-odd-secret"]);
});

test("the session is enough afterwards, and can be ended", async () => {
  server.session = ADA;
  render(<RaterPage />);
  await userEvent.setup().click(await screen.findByRole("button", { name: "Sign out" }));
  expect(await screen.findByText("You are signed out")).toBeVisible();
  expect(screen.queryByRole("article")).toBeNull();
  expect(server.said).toEqual(["out"]);
});

test("a browser that is signed in with another key is asked first", async () => {
  server.hash = "key=sk-odd-secret";
  server.session = { name: "admin", evaluation_id: null };
  server.link = ADA;
  render(<RaterPage />);
  expect(await screen.findByText(/signed in with the key “admin”/)).toBeVisible();
  expect(server.said).toEqual(["at /vote"]);
  await userEvent.setup().click(screen.getByRole("button", { name: /vote as a rater/ }));
  expect(await screen.findByRole("article", { name: "Answer A" })).toBeVisible();
});

test("a link that was revoked says so, before and amid the votes", async () => {
  server.hash = "key=sk-odd-secret";
  render(<RaterPage />);
  expect(await screen.findByRole("alert")).toHaveTextContent("This link no longer works");
  cleanup();
  Object.assign(server, { hash: "", session: ADA, deal: null });
  render(<RaterPage />);
  expect(await screen.findByRole("alert")).toHaveTextContent("This link no longer works");
});

test("an ordinary key is no link", async () => {
  server.hash = "key=sk-odd-admin";
  server.link = { name: "admin", evaluation_id: null };
  render(<RaterPage />);
  expect(await screen.findByRole("alert")).toHaveTextContent("This is no link for a rater.");
  expect(server.said.at(-1)).toBe("out");
});

test("without a link there is a sentence what to do", async () => {
  render(<RaterPage />);
  expect(await screen.findByText(/Open the link that you were sent/)).toBeVisible();
});

test("the end says thank you", async () => {
  server.session = ADA;
  server.deal = { ...DEAL, card: null, voted: 18 };
  render(<RaterPage />);
  expect(await screen.findByRole("heading", { name: "Thank you" })).toBeVisible();
  expect(screen.getByText(/all cards \(18 votes\)/)).toBeVisible();
  expect(screen.queryByRole("article")).toBeNull();
});
