import { useQuery } from "@tanstack/react-query";
import { Navigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Schema } from "@/lib/api";
import { sessionQuery } from "@/lib/queries";

type Scope = Schema<"SessionObject">["scopes"][number];

/** Why this browser's key can't do what needs a scope; null if it can, or is not known yet. */
export function useLacks(scope: Scope): string | null {
  const { data } = useQuery(sessionQuery);
  if (!data || data.scopes.includes(scope)) return null;
  return `This needs a key with the scope “${scope}”; you are signed in with “${data.name}”, which lacks it.`;
}

/**
 * What only a key with a scope can do. For another key its buttons are disabled and have the reason
 * as their title; or it is hidden; or the reason stands in its place.
 */
export function Needs(props: {
  scope: Scope;
  lacking?: "disabled" | "hidden" | "explained";
  children: ReactNode;
}) {
  const { scope, lacking = "disabled", children } = props;
  const reason = useLacks(scope);
  if (reason === null) return children;
  if (lacking === "hidden") return null;
  if (lacking === "explained") return <p className="text-muted">{reason}</p>;
  return (
    <fieldset disabled title={reason} className="contents">
      {children}
    </fieldset>
  );
}

/** At the top of each page: what a key that can't write sees of the page. */
export function ReadOnlyNotice() {
  const reason = useLacks("write");
  const isRater = useQuery(sessionQuery).data?.evaluation_id != null;
  if (!reason || isRater) return null;
  return (
    <p
      role="note"
      className="mx-4 mt-4 rounded-lg border border-line bg-surface px-4 py-2 text-sm md:mx-6"
    >
      Buttons that change something are off. {reason}
    </p>
  );
}

/** Leads a rater, whose key can do nothing else, to the page to vote on. */
export function RaterElsewhere() {
  const { data } = useQuery(sessionQuery);
  return data?.evaluation_id ? <Navigate to="/vote" replace /> : null;
}
