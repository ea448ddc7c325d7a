/** Every view is a permalink: path and search hold the state of a page. Pages load lazily. */
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
} from "@tanstack/react-router";
import { NotFound } from "@/app/not-found";
import { Shell } from "@/app/shell";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { parseSearch, stringifySearch, strings } from "@/lib/search";

const root = createRootRoute({
  notFoundComponent: NotFound,
  errorComponent: ({ error, reset }) => <ErrorPanel error={error} retry={reset} />,
});

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: strings("next", "token"),
  component: lazyRouteComponent(() => import("@/features/session/sign-in-page"), "SignInPage"),
});

// For raters: outside the frame, which leads to pages that they can't read.
const vote = createRoute({
  getParentRoute: () => root,
  path: "/vote",
  component: lazyRouteComponent(() => import("@/features/votes/raters/rater-page"), "RaterPage"),
});

const shell = createRoute({ getParentRoute: () => root, id: "shell", component: Shell });

const home = createRoute({
  getParentRoute: () => shell,
  path: "/",
  component: lazyRouteComponent(() => import("@/app/home/home-page"), "HomePage"),
});

const files = createRoute({
  getParentRoute: () => shell,
  path: "/files",
  component: lazyRouteComponent(() => import("@/features/files/files-page"), "FilesPage"),
});
const file = createRoute({
  getParentRoute: () => shell,
  path: "/files/$fileId",
  validateSearch: strings("code", "finding", "q", "row"),
  component: lazyRouteComponent(() => import("@/features/files/file-page"), "FilePage"),
});

const jobs = createRoute({
  getParentRoute: () => shell,
  path: "/jobs",
  validateSearch: strings("q", "sort", "select"),
  component: lazyRouteComponent(() => import("@/features/jobs/list/jobs-page"), "JobsPage"),
});
const newJob = createRoute({
  getParentRoute: () => shell,
  path: "/jobs/new",
  validateSearch: strings("file", "model", "from"),
  component: lazyRouteComponent(() => import("@/features/jobs/new/new-job-page"), "NewJobPage"),
});
const compareJobs = createRoute({
  getParentRoute: () => shell,
  path: "/jobs/compare",
  validateSearch: strings("ids", "x"),
  component: lazyRouteComponent(
    () => import("@/features/jobs/compare/compare-page"),
    "ComparePage",
  ),
});
const job = createRoute({
  getParentRoute: () => shell,
  path: "/jobs/$jobId",
  validateSearch: strings("tab", "x0", "x1", "line", "step"),
  component: lazyRouteComponent(() => import("@/features/jobs/run/job-page"), "JobPage"),
});

const evaluations = createRoute({
  getParentRoute: () => shell,
  path: "/evaluations",
  validateSearch: strings("model", "suite", "select"),
  component: lazyRouteComponent(
    () => import("@/features/evaluations/list/evaluations-page"),
    "EvaluationsPage",
  ),
});
const newEvaluation = createRoute({
  getParentRoute: () => shell,
  path: "/evaluations/new",
  validateSearch: strings("from", "model", "baseline", "suite", "data", "judge"),
  component: lazyRouteComponent(
    () => import("@/features/evaluations/new/new-evaluation-page"),
    "NewEvaluationPage",
  ),
});
const leaderboard = createRoute({
  getParentRoute: () => shell,
  path: "/evaluations/leaderboard",
  validateSearch: strings("ids", "board", "base"),
  component: lazyRouteComponent(
    () => import("@/features/evaluations/board/leaderboard-page"),
    "LeaderboardPage",
  ),
});
const judges = createRoute({
  getParentRoute: () => shell,
  path: "/evaluations/judges",
  validateSearch: strings("kind", "model"),
  component: lazyRouteComponent(
    () => import("@/features/evaluations/judges/judges-page"),
    "JudgesPage",
  ),
});
const evaluation = createRoute({
  getParentRoute: () => shell,
  path: "/evaluations/$evaluationId",
  validateSearch: strings("filter", "category", "item"),
  component: lazyRouteComponent(
    () => import("@/features/evaluations/one/evaluation-page"),
    "EvaluationPage",
  ),
});

const cards = createRoute({
  getParentRoute: () => shell,
  path: "/evaluations/$evaluationId/vote",
  component: lazyRouteComponent(() => import("@/features/votes/cards/cards-page"), "CardsPage"),
});

const playground = createRoute({
  getParentRoute: () => shell,
  path: "/playground",
  validateSearch: strings("a", "b", "job", "line", "ask"),
  component: lazyRouteComponent(
    () => import("@/features/playground/playground-page"),
    "PlaygroundPage",
  ),
});

const votes = createRoute({
  getParentRoute: () => shell,
  path: "/votes",
  validateSearch: strings("model", "against", "choice", "reason", "evaluation", "vote", "make"),
  component: lazyRouteComponent(() => import("@/features/votes/votes-page"), "VotesPage"),
});

const deployments = createRoute({
  getParentRoute: () => shell,
  path: "/deployments",
  component: lazyRouteComponent(
    () => import("@/features/deployments/deployments-page"),
    "DeploymentsPage",
  ),
});
const keys = createRoute({
  getParentRoute: () => shell,
  path: "/keys",
  component: lazyRouteComponent(() => import("@/features/api-keys/api-keys-page"), "ApiKeysPage"),
});

const system = createRoute({
  getParentRoute: () => shell,
  path: "/system",
  component: lazyRouteComponent(() => import("@/features/system/system-page"), "SystemPage"),
});

const routeTree = root.addChildren([
  signIn,
  vote,
  shell.addChildren([
    home,
    files,
    file,
    jobs,
    newJob,
    compareJobs,
    job,
    evaluations,
    newEvaluation,
    leaderboard,
    judges,
    evaluation,
    cards,
    playground,
    votes,
    deployments,
    keys,
    system,
  ]),
]);

export function createAppRouter() {
  return createRouter({
    routeTree,
    defaultPreload: "intent",
    // Without one, nothing at all is drawn before the code of the first page has loaded. With the
    // delay, a page that comes at once is not announced.
    defaultPendingComponent: Loading,
    defaultPendingMs: 200,
    defaultPendingMinMs: 0,
    scrollRestoration: true,
    parseSearch,
    stringifySearch,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
