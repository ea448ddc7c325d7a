import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { Loading } from "@/components/page";
import { ServerData } from "@/components/server-data";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Field, inputClass } from "@/components/ui/field";
import { safeNext } from "@/features/session/next";
import { sessionQuery } from "@/lib/queries";
import { type Credential, signIn } from "@/lib/session";

const route = getRouteApi("/sign-in");

/** The sign-in page stands outside the frame, so it brings the cache itself. */
export function SignInPage() {
  return (
    <ServerData>
      <SignIn />
    </ServerData>
  );
}

function SignIn() {
  const { token, next } = route.useSearch();
  const navigate = route.useNavigate();
  const { history } = useRouter();
  const queries = useQueryClient();
  const [key, setKey] = useState("");
  const { mutate, isPending, error, variables } = useMutation({
    mutationFn: (credential: Credential) => signIn(credential),
    onSuccess: (session) => {
      // Data and errors of another key must not be shown to this one.
      queries.removeQueries();
      queries.setQueryData(sessionQuery.queryKey, session);
      history.replace(safeNext(next));
    },
  });

  const tried = useRef<string>(undefined);
  useEffect(() => {
    if (!token || tried.current === token) return;
    tried.current = token;
    navigate({ search: { next }, replace: true });
    mutate({ token });
  }, [token, next, navigate, mutate]);

  useEffect(() => {
    document.title = "Sign in · Oddsmith";
  }, []);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate({ api_key: key.trim() });
  };
  const byLink = token !== undefined || (variables !== undefined && "token" in variables);
  if (byLink && !error)
    return (
      <main className="grid min-h-dvh place-items-center">
        <Loading what="Signing you in" />
      </main>
    );
  return (
    <main className="mx-auto flex min-h-dvh w-full max-w-md flex-col justify-center gap-4 p-4">
      <h1 className="flex items-center gap-2 text-title font-semibold">
        <img src="/favicon.svg" alt="" width={24} height={24} />
        Sign in to Oddsmith
      </h1>
      <Card>
        <form className="flex flex-col gap-4" onSubmit={submit}>
          <Field
            label="API key"
            hint={
              <>
                It begins with <code className="font-mono">sk-odd-</code>. A server administrator
                can make one with <code className="font-mono">oddsmith keys create</code>.
              </>
            }
            error={error?.message}
          >
            {(control) => (
              <input
                {...control}
                type="password"
                autoComplete="off"
                spellCheck={false}
                required
                maxLength={512}
                className={inputClass}
                value={key}
                onChange={(event) => setKey(event.target.value)}
              />
            )}
          </Field>
          <Button type="submit" look="primary" disabled={isPending}>
            {isPending ? "Signing in …" : "Sign in"}
          </Button>
        </form>
      </Card>
    </main>
  );
}
