/** The cache of the server's data, for everything inside. It loads after the frame of the page. */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { ApiError, isSignedOut } from "@/lib/api-error";

type AppRouter = ReturnType<typeof useRouter>;

/** One cache for each router: the frame, its menu and the pages share it. */
const caches = new WeakMap<AppRouter, QueryClient>();

/** Retries only errors that may be temporary; a wrong request stays wrong. */
function shouldRetry(failures: number, error: unknown): boolean {
  return failures < 3 && !(error instanceof ApiError && error.status < 500);
}

/** Pages that say themselves what to do without a session. */
const OPEN = ["/sign-in", "/vote"];

/** A cache that leads to the sign-in page when the server no longer knows the session. */
function createCache(router: AppRouter): QueryClient {
  const signedOut = (error: unknown) => {
    const { pathname, href } = router.state.location;
    if (isSignedOut(error) && !OPEN.includes(pathname))
      router.navigate({ to: "/sign-in", search: { next: href }, replace: true });
  };
  const cache = new QueryClient({
    defaultOptions: { queries: { retry: shouldRetry, staleTime: 5_000 } },
  });
  cache.getQueryCache().config.onError = signedOut;
  cache.getMutationCache().config.onError = signedOut;
  return cache;
}

function cacheOf(router: AppRouter): QueryClient {
  const cache = caches.get(router) ?? createCache(router);
  caches.set(router, cache);
  return cache;
}

export function ServerData({ children }: { children: ReactNode }) {
  return <QueryClientProvider client={cacheOf(useRouter())}>{children}</QueryClientProvider>;
}
