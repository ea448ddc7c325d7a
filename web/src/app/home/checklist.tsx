import { Link } from "@tanstack/react-router";
import { Check, Circle } from "lucide-react";
import { Card } from "@/components/ui/card";
import type { Schema } from "@/lib/api";
import { cx } from "@/lib/cx";

type Steps = Schema<"FirstStepsObject">;

const STEPS = [
  {
    done: "pairs",
    to: "/files",
    name: "Add pairs",
    about: "A file with a prompt, a chosen and a rejected answer in each row.",
  },
  {
    done: "run",
    to: "/jobs/new",
    name: "Train a model",
    about: "The defaults are a good start; held-out pairs show whether it helped.",
  },
  {
    done: "question",
    to: "/playground",
    name: "Ask it a question",
    about: "The model and its base answer side by side.",
  },
  {
    done: "vote",
    to: "/playground",
    name: "Vote for an answer",
    about: "Votes rank models, and become pairs for the next run.",
  },
] as const;

export const isComplete = (steps: Steps) => STEPS.every(({ done }) => steps[done]);

/** The four steps of a new user, each with its mark and a link. */
export function Checklist({ steps }: { steps: Steps }) {
  const count = STEPS.filter(({ done }) => steps[done]).length;
  return (
    <Card
      title="First steps"
      actions={
        <p className="text-sm text-muted">
          {count} of {STEPS.length} done
        </p>
      }
    >
      <ol className="grid gap-3 sm:grid-cols-2 xl:grid-cols-4">
        {STEPS.map(({ done, to, name, about }) => {
          const isDone = steps[done];
          const Mark = isDone ? Check : Circle;
          return (
            <li key={done} className="flex min-w-0 gap-2">
              <Mark
                aria-hidden="true"
                size={16}
                className={cx("mt-0.5 shrink-0", isDone ? "text-chosen" : "text-muted")}
              />
              <div className="min-w-0">
                <Link
                  to={to}
                  className={isDone ? "text-muted" : "font-medium text-accent underline"}
                >
                  {name}
                  <span className="sr-only">{isDone ? " (done)" : " (to do)"}</span>
                </Link>
                <p className="text-sm text-muted">{about}</p>
              </div>
            </li>
          );
        })}
      </ol>
    </Card>
  );
}
