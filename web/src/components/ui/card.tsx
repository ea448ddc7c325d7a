import type { ReactNode } from "react";
import { cx } from "@/lib/cx";

/** A bordered surface; with a title it is a section with a heading. */
export function Card(props: {
  title?: ReactNode;
  actions?: ReactNode;
  className?: string;
  children: ReactNode;
}) {
  return (
    <section className={cx("rounded-lg border border-line bg-surface p-4", props.className)}>
      {(props.title || props.actions) && (
        <header className="mb-3 flex flex-wrap items-center justify-between gap-2">
          <h2 className="font-semibold">{props.title}</h2>
          {props.actions}
        </header>
      )}
      {props.children}
    </section>
  );
}
