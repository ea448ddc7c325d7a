import { skipToken, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { Choice } from "@/features/playground/api/comparison-events";
import { takeBack, type Vote, vote } from "@/features/playground/api/comparisons";
import type { Schema } from "@/lib/api";

type Stored = Schema<"ComparisonObject">;

/**
 * The vote on a comparison as the server stored it, and how it is changed. It outlives the bar that
 * shows it: on a phone, each tab has its own.
 */
export function useVote(comparisonId: string | null, onVoted: (choice: Choice | null) => void) {
  const queries = useQueryClient();
  const id = comparisonId ?? "";
  const queryKey = ["comparisons", id, "vote"];
  const { data } = useQuery<Stored>({ queryKey, queryFn: skipToken });
  const sending = useMutation({
    mutationFn: (wanted: Vote | null) => (wanted ? vote(id, wanted) : takeBack(id)),
    onSuccess: (stored) => {
      queries.setQueryData<Stored>(queryKey, stored);
      queries.invalidateQueries({ queryKey: ["votes"] });
      onVoted(stored.choice);
    },
  });
  return {
    stored: data ? voteOf(data) : null,
    send: sending.mutate,
    isPending: sending.isPending,
    error: sending.error,
  };
}

function voteOf({ choice, reason, note, edit }: Stored): Vote | null {
  return choice && { choice, reason, note, edit };
}
