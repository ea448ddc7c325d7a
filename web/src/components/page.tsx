import { type ReactNode, useEffect } from "react";

/** A page: its title as heading and in the tab, its actions, its content. */
export function Page(props: {
  title: string;
  /** In the title of the tab, if that says more than the page's name. */
  tab?: string | undefined;
  heading?: ReactNode;
  lead?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  const tab = props.tab ?? props.title;
  useEffect(() => {
    document.title = `${tab} · Oddsmith`;
  }, [tab]);
  return (
    <div className="mx-auto flex w-full max-w-[1400px] flex-col gap-4 p-4 md:p-6">
      <header className="flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
        <div className="min-w-0">
          <h1 className="text-title font-semibold break-words">{props.heading ?? props.title}</h1>
          {props.lead && <div className="mt-1 text-muted">{props.lead}</div>}
        </div>
        {props.actions && <div className="flex flex-wrap gap-2">{props.actions}</div>}
      </header>
      {props.children}
    </div>
  );
}

/** An empty list: what it would hold, and what to do next. */
export function Empty({ children }: { children: ReactNode }) {
  return (
    <div className="rounded-lg border border-dashed border-line p-8 text-center text-muted">
      {children}
    </div>
  );
}

/** Shown while something loads: announced to a screen reader, unobtrusive on screen. */
export function Loading({ what = "Loading" }: { what?: string }) {
  return (
    <p role="status" className="p-4 text-muted">
      {what} …
    </p>
  );
}
