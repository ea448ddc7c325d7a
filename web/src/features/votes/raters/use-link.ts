import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useLocation, useRouter } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { ApiError, isSignedOut } from "@/lib/api-error";
import { sessionQuery } from "@/lib/queries";
import { signIn, signOut } from "@/lib/session";

/** How far the opening of a rater's link has come. */
export type Opening =
  | { state: "open"; evaluationId: string; name: string; isLeaving: boolean; leave: () => void }
  | { state: "opening" }
  /** The link was revoked. */
  | { state: "closed" }
  | { state: "left" }
  | { state: "failed"; error: Error; retry: () => void }
  /** The browser is signed in with another key; `change` is null without a link. */
  | { state: "other"; name: string; change: (() => void) | null }
  /** There is neither a link nor a session. */
  | { state: "none" };

const PREFIX = "key=";

/**
 * Signs this browser in with the key in the address's fragment, `#key=...`, and takes it out of the
 * address. Afterwards the browser's session is enough, until the key is revoked.
 */
export function useLink(): Opening {
  const { hash } = useLocation();
  const { history } = useRouter();
  const queries = useQueryClient();
  const session = useQuery(sessionQuery);
  const [key, setKey] = useState<string | null>(null);
  const tried = useRef<string>(undefined);
  useEffect(() => {
    if (!hash.startsWith(PREFIX)) return;
    setKey(hash.slice(PREFIX.length));
    history.replace("/vote");
  }, [hash, history]);

  const forget = () => queries.removeQueries({ predicate: isOfOneKey });
  const leaving = useMutation({ mutationFn: signOut, onSuccess: forget });
  const entering = useMutation({
    mutationFn: enter,
    onSuccess: (entered) => {
      forget();
      leaving.reset();
      tried.current = undefined;
      queries.setQueryData(sessionQuery.queryKey, entered);
      setKey(null);
    },
  });

  const isOther = session.data !== undefined && !session.data.evaluation_id;
  const { mutate } = entering;
  useEffect(() => {
    if (key === null || session.isPending || isOther || tried.current === key) return;
    tried.current = key;
    mutate(key);
  }, [key, session.isPending, isOther, mutate]);

  if (key !== null) {
    if (entering.error && tried.current === key) {
      if (isSignedOut(entering.error)) return { state: "closed" };
      return { state: "failed", error: entering.error, retry: () => mutate(key) };
    }
    if (isOther && session.data && entering.isIdle) {
      const change = () => {
        tried.current = key;
        mutate(key);
      };
      return { state: "other", name: session.data.name, change };
    }
    return { state: "opening" };
  }
  if (leaving.isSuccess) return { state: "left" };
  if (hash.startsWith(PREFIX) || session.isPending) return { state: "opening" };
  if (!session.data) {
    if (isSignedOut(session.error)) return { state: "none" };
    return { state: "failed", error: session.error, retry: () => session.refetch() };
  }
  const { evaluation_id, name } = session.data;
  if (!evaluation_id) return { state: "other", name, change: null };
  return {
    state: "open",
    evaluationId: evaluation_id,
    name,
    isLeaving: leaving.isPending,
    leave: () => leaving.mutate(),
  };
}

/** Everything in the cache except the session, which the page observes. */
const isOfOneKey = ({ queryKey }: { queryKey: readonly unknown[] }) =>
  queryKey[0] !== sessionQuery.queryKey[0];

/** Sign in with a rater's key. Another key does not belong into a link, so it is not used. */
async function enter(api_key: string) {
  const session = await signIn({ api_key });
  if (session.evaluation_id) return session;
  await signOut();
  throw new ApiError(400, "This is no link for a rater. Ask for a new one.");
}
