import { useQuery } from "@tanstack/react-query";
import { keysQuery } from "@/features/api-keys/api";
import { sessionQuery } from "@/lib/queries";

/** The names of the keys that can have voted: all of them for an admin, otherwise one's own. */
export function useVoters(): ReadonlyMap<string, string> {
  const session = useQuery(sessionQuery);
  const isAdmin = session.data?.scopes.includes("admin") ?? false;
  const keys = useQuery({ ...keysQuery, enabled: isAdmin });
  const names = new Map(keys.data?.data.map(({ id, name }) => [id, name]));
  if (session.data) names.set(session.data.key_id, `${session.data.name} (you)`);
  return names;
}
