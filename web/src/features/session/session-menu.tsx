import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { LogOut } from "lucide-react";
import { Button } from "@/components/ui/button";
import { sessionQuery } from "@/lib/queries";
import { signOut } from "@/lib/session";

/** The key that this browser is signed in with, and the sign-out button. */
export function SessionMenu() {
  const session = useQuery(sessionQuery);
  const navigate = useNavigate();
  const queries = useQueryClient();
  const leaving = useMutation({
    mutationFn: signOut,
    onSuccess: async () => {
      await navigate({ to: "/sign-in" });
      queries.removeQueries();
    },
  });
  if (!session.data) return null;
  const { name, scopes } = session.data;
  return (
    <>
      <p
        title={`Signed in with the key “${name}” (${scopes.join(", ")})`}
        className="max-w-32 truncate px-2 text-sm text-muted md:max-w-full"
      >
        <span className="sr-only">Signed in with the key </span>
        {name}
      </p>
      <Button
        look="quiet"
        small
        className="md:justify-start"
        aria-label="Sign out"
        disabled={leaving.isPending}
        onClick={() => leaving.mutate()}
      >
        <LogOut aria-hidden="true" size={16} />
        <span className="hidden md:inline">Sign out</span>
      </Button>
      {leaving.error && (
        <p role="alert" className="px-2 text-sm text-rejected">
          {leaving.error.message}
        </p>
      )}
    </>
  );
}
