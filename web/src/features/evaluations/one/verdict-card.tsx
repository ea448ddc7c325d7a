import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { itemsQuery } from "@/features/evaluations/api";
import type { Evaluation } from "@/features/evaluations/objects";
import { movements, questionOf, verdictOf, worseQuestion } from "@/features/evaluations/verdict";
import { itemsOf, metricOf } from "@/features/evaluations/words";
import { number } from "@/lib/format";

/** Is it better, by how much, and where did it get worse. */
export function VerdictCard({ evaluation }: { evaluation: Evaluation }) {
  const verdict = verdictOf(evaluation);
  if (!verdict) return null;
  const { reading, answer, detail } = verdict;
  return (
    <section
      aria-label="Verdict"
      className="grid gap-x-8 gap-y-4 rounded-lg border border-line bg-surface p-4 md:grid-cols-2"
    >
      <Answer
        question={questionOf(evaluation)}
        answer={answer}
        mark={reading === "better" ? "✓" : reading === "worse" ? "✗" : undefined}
      >
        {detail}
      </Answer>
      {(evaluation.baseline || evaluation.preference) && <Worse evaluation={evaluation} />}
    </section>
  );
}

function Worse({ evaluation }: { evaluation: Evaluation }) {
  const { data } = useInfiniteQuery(itemsQuery(evaluation.id, "regressed", undefined));
  const [first] = data?.pages ?? [];
  if (!first) return null;
  const worse = movements(evaluation, "worse");
  const count = first.data.length;
  const of = `of ${number(evaluation.counts.prompts)} ${itemsOf(evaluation)}`;
  return (
    <Answer
      question={worseQuestion(evaluation)}
      answer={
        count === 0
          ? `On none ${of}`
          : `On ${number(count)}${first.has_more ? " or more" : ""} ${of}`
      }
      mark={count === 0 ? "✓" : undefined}
    >
      {worse.length > 0 && (
        <>
          More than chance in{" "}
          {worse.map(({ category }) => category && metricOf(category).title).join(", ")}.{" "}
        </>
      )}
      {count > 0 && (
        <Link
          to="/evaluations/$evaluationId"
          params={{ evaluationId: evaluation.id }}
          search={{ filter: "regressed" }}
          hash="items"
          className="text-accent underline"
        >
          Look at the {itemsOf(evaluation) === "pairs" ? "pairs" : "answers"}
        </Link>
      )}
    </Answer>
  );
}

function Answer(props: {
  question: string;
  answer: string;
  mark?: "✓" | "✗" | undefined;
  children: ReactNode;
}) {
  const { mark } = props;
  return (
    <div className="min-w-0">
      <h2 className="text-sm text-muted">{props.question}</h2>
      <p className="mt-0.5 font-semibold break-words">
        {mark && (
          <span
            aria-hidden="true"
            className={`mr-1.5 ${mark === "✓" ? "text-chosen" : "text-rejected"}`}
          >
            {mark}
          </span>
        )}
        {props.answer}
      </p>
      <p className="mt-1 text-sm text-muted">{props.children}</p>
    </div>
  );
}
