import { Link, lazyRouteComponent, Outlet } from "@tanstack/react-router";
import {
  Activity,
  FileText,
  House,
  KeyRound,
  LineChart,
  MessagesSquare,
  Scale,
  Server,
  Vote,
} from "lucide-react";
import { Suspense } from "react";
import { KeysHelp } from "@/components/keys-help";
import { NoticeBar } from "@/components/notice-bar";
import { Loading } from "@/components/page";
import { ThemeSwitch } from "@/components/theme-switch";
import { cx } from "@/lib/cx";

// The frame needs no data, so it is drawn before the code that reads data has loaded.
const ServerData = lazyRouteComponent(() => import("@/components/server-data"), "ServerData");
const SessionMenu = lazyRouteComponent(
  () => import("@/features/session/session-menu"),
  "SessionMenu",
);
const ReadOnlyNotice = lazyRouteComponent(() => import("@/components/needs"), "ReadOnlyNotice");
const RaterElsewhere = lazyRouteComponent(() => import("@/components/needs"), "RaterElsewhere");
void ServerData.preload?.();
void SessionMenu.preload?.();

/** A phone's bar has no room for all: Home is the name at its top, the system a mark beside it. */
const ROOMS = [
  { to: "/", name: "Home", Icon: House, isWide: true },
  { to: "/jobs", name: "Runs", Icon: LineChart },
  { to: "/files", name: "Files", Icon: FileText },
  { to: "/evaluations", name: "Evaluations", Icon: Scale },
  { to: "/playground", name: "Playground", Icon: MessagesSquare },
  { to: "/votes", name: "Votes", Icon: Vote },
  { to: "/deployments", name: "Deployments", Icon: Server },
  { to: "/keys", name: "Keys", Icon: KeyRound },
  { to: "/system", name: "System", Icon: Activity, isWide: true },
] as const;

const roomClass =
  "flex min-h-12 flex-auto flex-col items-center justify-center gap-0.5 text-xs text-muted max-[359px]:text-[10px] hover:text-ink data-[status=active]:text-accent md:min-h-9 md:flex-none md:flex-row md:justify-start md:gap-3 md:rounded-md md:px-2 md:text-base md:data-[status=active]:bg-bg md:data-[status=active]:font-medium";

/** The frame around every page: a side bar on a wide screen, a bar at the bottom of a phone. */
export function Shell() {
  return (
    <div className="flex min-h-dvh flex-col md:flex-row">
      <a
        href="#content"
        className="sr-only focus:not-sr-only focus:absolute focus:z-10 focus:bg-surface focus:p-2"
      >
        Skip to content
      </a>
      <div className="flex items-center gap-4 border-b border-line bg-surface px-4 py-2 md:sticky md:top-0 md:h-dvh md:w-52 md:shrink-0 md:flex-col md:items-stretch md:border-r md:border-b-0 md:p-4">
        <Link to="/" className="flex items-center gap-2 font-semibold">
          <img src="/favicon.svg" alt="" width={20} height={20} />
          Oddsmith
        </Link>
        <Link
          to="/system"
          aria-label="System"
          className="ml-auto p-1 text-muted hover:text-ink data-[status=active]:text-accent md:hidden"
        >
          <Activity aria-hidden="true" size={16} />
        </Link>
        <nav
          aria-label="Rooms"
          className="fixed inset-x-0 bottom-0 z-10 flex border-t border-line bg-surface md:static md:flex-col md:gap-1 md:border-t-0"
        >
          {ROOMS.map(({ to, name, Icon, ...room }) => (
            <Link
              key={to}
              to={to}
              activeOptions={{ exact: to === "/" }}
              className={cx("isWide" in room && "max-md:hidden", roomClass)}
            >
              <Icon aria-hidden="true" size={16} />
              {name}
            </Link>
          ))}
        </nav>
        <div className="flex items-center gap-1 md:mt-auto md:ml-0 md:flex-col md:items-stretch">
          <Suspense>
            <ServerData>
              <SessionMenu />
            </ServerData>
          </Suspense>
          <KeysHelp />
          <ThemeSwitch />
        </div>
      </div>
      <main id="content" tabIndex={-1} className="min-w-0 flex-1 pb-16 md:pb-0">
        <Suspense fallback={<Loading />}>
          <ServerData>
            <Suspense>
              <RaterElsewhere />
              <ReadOnlyNotice />
            </Suspense>
            <Outlet />
          </ServerData>
        </Suspense>
      </main>
      <NoticeBar />
    </div>
  );
}
