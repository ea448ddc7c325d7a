import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Loading } from "@/components/page";
import { Progress } from "@/components/progress";
import { ServerData } from "@/components/server-data";
import { ThemeSwitch } from "@/components/theme-switch";
import { Button } from "@/components/ui/button";
import { dealQuery } from "@/features/votes/cards/api";
import { type AtEnd, Dealt } from "@/features/votes/cards/dealt";
import { type Opening, useLink } from "@/features/votes/raters/use-link";
import { isSignedOut } from "@/lib/api-error";
import { number } from "@/lib/format";
import { visible } from "@/lib/visible-text";

const TITLE = "Which answer is better?";

/** The page that a rater's link opens: the cards of one evaluation, and a way to nowhere else. */
export function RaterPage() {
  useEffect(() => {
    document.title = `${TITLE} · Oddsmith`;
  }, []);
  return (
    <ServerData>
      <Opened />
    </ServerData>
  );
}

function Opened() {
  const link = useLink();
  return (
    <div className="flex min-h-dvh flex-col">
      <header className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b border-line bg-surface px-4 py-2 md:px-6">
        <p className="flex items-center gap-2 font-semibold">
          <img src="/favicon.svg" alt="" width={20} height={20} />
          Oddsmith
        </p>
        <div className="ml-auto flex min-w-0 items-center gap-1">
          {link.state === "open" && (
            <>
              <p className="max-w-40 truncate px-2 text-sm text-muted md:max-w-80">
                <span className="sr-only">You vote as </span>
                {visible(link.name)}
              </p>
              <Button look="quiet" small disabled={link.isLeaving} onClick={link.leave}>
                Sign out
              </Button>
            </>
          )}
          <ThemeSwitch />
        </div>
      </header>
      <main className="mx-auto flex w-full max-w-[1400px] flex-1 flex-col gap-4 p-4 md:p-6">
        <Content link={link} />
      </main>
    </div>
  );
}

function Content({ link }: { link: Opening }) {
  if (link.state === "open") return <Deck id={link.evaluationId} />;
  if (link.state === "opening") return <Loading what="Opening the cards" />;
  if (link.state === "closed") return <Closed />;
  if (link.state === "failed") return <ErrorPanel error={link.error} retry={link.retry} />;
  if (link.state === "left")
    return (
      <Said title="You are signed out">
        Open the link that you were sent to vote on more cards.
      </Said>
    );
  if (link.state === "other")
    return (
      <Said title="This browser is signed in">
        <p>
          It is signed in with the key “{visible(link.name)}”. To vote as a rater, it has to be
          signed out first.
        </p>
        <p className="mt-4 flex flex-wrap justify-center gap-x-4 gap-y-2">
          {link.change && (
            <Button look="primary" onClick={link.change}>
              Sign out and vote as a rater
            </Button>
          )}
          <a href="/jobs" className="inline-flex min-h-9 items-center text-accent underline">
            Stay signed in
          </a>
        </p>
      </Said>
    );
  return (
    <Said title="Open your link">
      This page is for raters. Open the link that you were sent. If it does not work, ask for a new
      one.
    </Said>
  );
}

/** A sentence in the middle of the page. */
function Said({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="mx-auto mt-8 max-w-md rounded-lg border border-line bg-surface p-6 text-center">
      <h1 className="mb-2 text-title font-semibold">{title}</h1>
      <div className="text-muted">{children}</div>
    </section>
  );
}

function Closed() {
  return (
    <div role="alert">
      <Said title="This link no longer works">
        It was revoked, or what it was for was deleted. Votes that you have cast are kept. To go on,
        ask the person who sent the link for a new one.
      </Said>
    </div>
  );
}

function Deck({ id }: { id: string }) {
  const { data, error, refetch } = useQuery(dealQuery(id));
  if (error && isSignedOut(error)) return <Closed />;
  if (!data) {
    if (error) return <ErrorPanel error={error} retry={refetch} />;
    return <Loading what="Loading the next card" />;
  }
  return (
    <>
      {data.card && (
        <div className="flex flex-col gap-3">
          <div>
            <h1 className="text-title font-semibold">{TITLE}</h1>
            <p className="mt-1 text-muted">
              Read the question and both answers, then choose below them. The models are hidden.
            </p>
          </div>
          <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
            <div className="w-full sm:max-w-80">
              <Progress share={data.voted / data.of} label="Cards with your vote" />
            </div>
            <p role="status" className="text-sm text-muted">
              {data.voted} of at most {data.of} cards have your vote
            </p>
          </div>
        </div>
      )}
      <Dealt id={id} deal={data} atEnd={(can) => <Thanks voted={data.voted} {...can} />} />
    </>
  );
}

function Thanks({ voted, isBusy, onUndo, onReveal }: AtEnd & { voted: number }) {
  return (
    <Said title="Thank you">
      <p role="status">
        You have voted on all cards ({number(voted)} {voted === 1 ? "vote" : "votes"}). You can
        close this page.
      </p>
      {onUndo && (
        <p className="mt-4 flex flex-wrap justify-center gap-2">
          <Button disabled={isBusy} onClick={onUndo}>
            Undo the last vote
          </Button>
          <Button disabled={isBusy} onClick={onReveal}>
            Show the models of the last card
          </Button>
        </p>
      )}
    </Said>
  );
}
