import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { useState } from "react";
import { createAppRouter } from "@/app/router";
import { ApiError, isSignedOut } from "@/lib/api";

/** Retries only errors that may be temporary; a wrong request stays wrong. */
function shouldRetry(failures: number, error: unknown): boolean {
  return failures < 3 && !(error instanceof ApiError && error.status < 500);
}

export function App() {
  const [router] = useState(createAppRouter);
  const [client] = useState(() => {
    const signedOut = (error: unknown) => {
      const { pathname, href } = router.state.location;
      if (isSignedOut(error) && pathname !== "/sign-in")
        router.navigate({ to: "/sign-in", search: { next: href }, replace: true });
    };
    const queryClient = new QueryClient({
      defaultOptions: { queries: { retry: shouldRetry, staleTime: 5_000 } },
    });
    queryClient.getQueryCache().config.onError = signedOut;
    queryClient.getMutationCache().config.onError = signedOut;
    return queryClient;
  });
  return (
    <QueryClientProvider client={client}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  );
}
