import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import { useCallback, useState } from "react";
import { expect, test } from "vitest";
import { UNASKED } from "@/features/playground/comparison";
import { TurnView } from "@/features/playground/components/turn-view";
import type { SideIndex, Turn } from "@/features/playground/conversation";
import { type Seen, withSeen } from "@/features/playground/seen";
import { sessionQuery } from "@/lib/queries";

const [silent] = UNASKED.sides;
const turn: Turn = {
  id: 1,
  prompt: "Name one colour.",
  heldOut: null,
  models: ["base", "tuned"],
  comparison: {
    id: "cmp-1",
    choice: null,
    isOver: true,
    sides: [
      { ...silent, status: "done", text: "Red." },
      { ...silent, status: "done", text: "Blue." },
    ],
  },
};
const A: SideIndex[] = [0];
const B: SideIndex[] = [1];
const BOTH: SideIndex[] = [0, 1];

const queries = new QueryClient({ defaultOptions: { queries: { staleTime: 60_000 } } });
const session = { object: "session", key_id: "key-1", name: "n", scopes: ["vote", "chat"] };
queries.setQueryData(sessionQuery.queryKey, session as never);

function Pane({ sides }: { sides: SideIndex[] }) {
  const [seen, setSeen] = useState<Seen>({});
  const onSeen = useCallback(
    (id: string, shown: SideIndex[]) => setSeen((now) => withSeen(now, id, shown)),
    [],
  );
  return (
    <QueryClientProvider client={queries}>
      <TurnView
        turn={turn}
        sides={sides}
        models={["base", "tuned"]}
        isLast
        isDiffed={false}
        onStop={() => {}}
        onRetry={() => {}}
        onVoted={() => {}}
        seen={seen}
        onSeen={onSeen}
      />
    </QueryClientProvider>
  );
}

const vote = () => screen.getByRole("button", { name: /A is better/ });

test("on a phone, a vote waits until both answers were in view", () => {
  const page = render(<Pane sides={A} />);
  expect(vote()).toBeDisabled();
  expect(screen.getByText("Read the answer of B, too, before you vote.")).toBeVisible();
  page.rerender(<Pane sides={B} />);
  expect(vote()).toBeEnabled();
  expect(screen.queryByText(/before you vote/)).toBeNull();
});

test("where both answers stand beside each other, a vote is possible at once", () => {
  render(<Pane sides={BOTH} />);
  expect(vote()).toBeEnabled();
});
