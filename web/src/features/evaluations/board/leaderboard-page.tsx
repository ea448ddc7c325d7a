import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Empty, Loading, Page } from "@/components/page";
import { buttonClass } from "@/components/ui/button";
import { Field, inputClass } from "@/components/ui/field";
import { comparedQuery, evaluationsQuery, promptFilesQuery } from "@/features/evaluations/api";
import { Leaderboard } from "@/features/evaluations/board/leaderboard";
import { Rooms } from "@/features/evaluations/components/rooms";
import { type Board, boardsOf, MOST, withFirst } from "@/features/evaluations/leaderboard";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { filesQuery } from "@/lib/queries";

// Of so many newest evaluations, those that can be compared are put together.
const NEWEST = 200;

/** Models by their scores on the same prompts, with differences to a chosen one. */
export function LeaderboardPage() {
  const search = useSearch({ from: "/shell/evaluations/leaderboard" });
  const given = search.ids?.split(",").filter(Boolean);
  return (
    <Page
      title="Leaderboard"
      lead="Models on the same prompts: scores with intervals, and paired differences."
    >
      <Rooms />
      {given ? <Chosen ids={given} /> : <Suggested />}
    </Page>
  );
}

/** The evaluations that were ticked in the list. */
function Chosen({ ids }: { ids: string[] }) {
  return (
    <>
      <p className="text-muted">
        {number(ids.length)} ticked evaluations.{" "}
        <Link to="/evaluations/leaderboard" className="text-accent underline">
          Show those that belong together
        </Link>
      </p>
      <Compared ids={ids} />
    </>
  );
}

/** Evaluations of one suite on one file, put together by themselves. */
function Suggested() {
  const search = useSearch({ from: "/shell/evaluations/leaderboard" });
  const navigate = useNavigate({ from: "/evaluations/leaderboard" });
  const found = useQuery(evaluationsQuery({}, NEWEST));
  const prompts = useQuery(promptFilesQuery);
  const pairs = useQuery(filesQuery(1000));
  const names = new Map(
    [...(prompts.data?.data ?? []), ...(pairs.data?.data ?? [])].map((file) => [
      file.id,
      file.filename,
    ]),
  );
  if (found.error) return <ErrorPanel error={found.error} retry={() => found.refetch()} />;
  if (!found.data) return <Loading what="Loading the evaluations" />;
  const boards = boardsOf(found.data.data, (id) => names.get(id) ?? id);
  const shown = boards.find(({ key }) => key === search.board) ?? boards[0];
  if (!shown) return <Nothing />;
  return (
    <>
      <Field label="Suite and prompts">
        {(control) => (
          <select
            {...control}
            className={cx(inputClass, "max-w-xl truncate pe-8")}
            value={shown.key}
            onChange={(event) => navigate({ search: { board: event.target.value }, replace: true })}
          >
            {boards.map((board) => (
              <option key={board.key} value={board.key}>
                {optionOf(board)}
              </option>
            ))}
          </select>
        )}
      </Field>
      {shown.evaluations.length > MOST && (
        <p className="text-muted">The newest {MOST} are shown.</p>
      )}
      <Compared ids={shown.evaluations.slice(0, MOST).map(({ id }) => id)} />
    </>
  );
}

const optionOf = ({ title, evaluations }: Board) =>
  `${title} (${evaluations.length === 1 ? "1 evaluation" : `${evaluations.length} evaluations`})`;

function Compared({ ids }: { ids: string[] }) {
  const search = useSearch({ from: "/shell/evaluations/leaderboard" });
  const isEnough = ids.length > 1 && ids.length <= MOST;
  const found = useQuery({ ...comparedQuery(withFirst(ids, search.base)), enabled: isEnough });
  if (ids.length < 2)
    return (
      <Empty>
        One evaluation has nothing to be compared with. Evaluate another model on the same prompts.
      </Empty>
    );
  if (!isEnough) return <Empty>At most {MOST} evaluations can be compared: tick fewer.</Empty>;
  if (found.error) return <ErrorPanel error={found.error} retry={() => found.refetch()} />;
  if (!found.data) return <Loading what="Comparing" />;
  return <Leaderboard key={found.data.suite} compared={found.data} order={ids} />;
}

function Nothing() {
  return (
    <Empty>
      <p className="mb-4">No evaluation has succeeded yet.</p>
      <Needs scope="write" lacking="hidden">
        <Link to="/evaluations/new" className={buttonClass("primary")}>
          New evaluation
        </Link>
      </Needs>
    </Empty>
  );
}
