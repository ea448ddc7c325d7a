"""Evaluations as jobs, their answers and judgments, judges, and gates of a job."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

JSONB = postgresql.JSONB(astext_type=sa.Text())
MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")
EMPTY_LIST, EMPTY = sa.text("'[]'"), sa.text("'{}'")

# As in the second migration, with words for an evaluation.
RECORD = """
CREATE OR REPLACE FUNCTION record_job_state() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ended boolean := NEW.state IN ('succeeded', 'failed', 'cancelled');
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.state = OLD.state THEN
        RETURN NULL;
    END IF;
    INSERT INTO job_events (job_id, generation, level, type, message, data, terminal)
    VALUES (
        NEW.id,
        NEW.generation,
        CASE WHEN NEW.state = 'failed' THEN 'error' ELSE 'info' END,
        'message',
        CASE NEW.state
            WHEN 'validating_files' THEN 'Created; checking the files.'
            WHEN 'queued' THEN 'Waiting for a worker.'
            WHEN 'claimed' THEN 'A worker took the job.'
            WHEN 'running' THEN {running}
            WHEN 'paused' THEN 'Paused.'
            WHEN 'finalizing' THEN {finalizing}
            WHEN 'succeeded' THEN {succeeded}
            WHEN 'cancelled' THEN 'Cancelled.'
            ELSE 'Failed: ' || coalesce(NEW.error ->> 'message', 'no reason was recorded.')
        END,
        jsonb_build_object(
            'state', NEW.state,
            'from', CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END
        ),
        ended
    );
    RETURN NULL;
END $$;
"""
WAS = {
    "running": "'Training.'",
    "finalizing": "'Training has ended; registering the result.'",
    "succeeded": "'Finished: ' || coalesce(NEW.fine_tuned_model, 'no model') || '.'",
}
EVALUATION = {
    "running": "'Evaluating.'",
    "finalizing": "'All answers are there; storing the scores.'",
    "succeeded": "'Finished.'",
}
BOTH = {
    state: f"CASE NEW.purpose WHEN 'evaluation' THEN {EVALUATION[state]} ELSE {was} END"
    for state, was in WAS.items()
}


def upgrade() -> None:
    op.add_column("jobs", sa.Column("gates", JSONB, server_default=EMPTY_LIST, nullable=False))
    op.add_column("jobs", sa.Column("promotion", JSONB, nullable=True))
    op.execute(RECORD.format(**BOTH))
    _judges()
    _evaluations()
    _items()
    _written_once(
        "answers",
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("thought", sa.Text(), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=True),
    )
    _written_once(
        "judgments",
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=True),
    )


def _judges() -> None:
    op.create_table(
        "judges",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=True),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("sampling", JSONB, nullable=False),
        sa.Column("agreement", JSONB, server_default=EMPTY, nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judges")),
        sa.ForeignKeyConstraint(
            ["org_id"], ["organizations.id"], name=op.f("fk_judges_org_id_organizations")
        ),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name=op.f("fk_judges_api_key_id_api_keys")
        ),
    )
    op.create_index(op.f("ix_judges_org_id"), "judges", ["org_id"])


def _evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("data_sha256", sa.Text(), nullable=True),
        sa.Column("target", JSONB, nullable=False),
        sa.Column("baseline", JSONB, nullable=True),
        sa.Column("judge_id", sa.Text(), nullable=True),
        sa.Column("orders", sa.BigInteger(), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=True),
        sa.Column("sampling", JSONB, nullable=False),
        sa.Column("options", JSONB, nullable=False),
        sa.Column("deploys", sa.Boolean(), nullable=False),
        sa.Column("deployed", JSONB, server_default=EMPTY_LIST, nullable=False),
        sa.Column("gated_job_id", sa.Text(), nullable=True),
        sa.Column("counts", JSONB, nullable=False),
        sa.Column("scores", JSONB, nullable=False),
        sa.Column("details", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
        sa.ForeignKeyConstraint(["id"], ["jobs.id"], name=op.f("fk_evaluations_id_jobs")),
        sa.ForeignKeyConstraint(
            ["judge_id"], ["judges.id"], name=op.f("fk_evaluations_judge_id_judges")
        ),
        sa.ForeignKeyConstraint(
            ["gated_job_id"], ["jobs.id"], name=op.f("fk_evaluations_gated_job_id_jobs")
        ),
    )
    for column in ("judge_id", "gated_job_id"):
        op.create_index(op.f(f"ix_evaluations_{column}"), "evaluations", [column])
    op.create_index(
        "ix_evaluations_deployed",
        "evaluations",
        ["id"],
        postgresql_where=sa.text("deployed <> '[]'"),
    )


def _items() -> None:
    op.create_table(
        "evaluation_items",
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("turns", JSONB, nullable=False),
        sa.Column("reference", JSONB, nullable=False),
        sa.Column("answers", JSONB, nullable=False),
        sa.Column("baseline_answers", JSONB, nullable=False),
        sa.Column("judgments", JSONB, nullable=False),
        sa.Column("failures", JSONB, server_default=EMPTY, nullable=False),
        sa.Column("result", JSONB, nullable=True),
        sa.Column("change", sa.Float(), nullable=True),
        sa.Column("cut_off", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "place", name=op.f("pk_evaluation_items")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["evaluations.id"],
            name=op.f("fk_evaluation_items_evaluation_id_evaluations"),
        ),
    )
    for column in ("change", "category"):
        op.create_index(
            f"ix_evaluation_items_{column}", "evaluation_items", ["evaluation_id", column]
        )


def _written_once(table: str, *columns: sa.Column) -> None:
    op.create_table(
        table,
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        *columns,
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "key", name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(
            ["org_id"], ["organizations.id"], name=op.f(f"fk_{table}_org_id_organizations")
        ),
    )


def downgrade() -> None:
    for table in ("judgments", "answers", "evaluation_items", "evaluations", "judges"):
        op.drop_table(table)
    op.execute(RECORD.format(**WAS))
    op.drop_column("jobs", "promotion")
    op.drop_column("jobs", "gates")
