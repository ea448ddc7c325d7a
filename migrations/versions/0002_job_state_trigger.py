"""The guard of the job protocol: legal transitions, rising generations, one event per change."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

GUARD = """
CREATE FUNCTION guard_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.generation < OLD.generation THEN
        RAISE EXCEPTION 'generation of job % may not fall from % to %',
            OLD.id, OLD.generation, NEW.generation USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = OLD.state THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM (VALUES
            ('validating_files', 'queued'), ('validating_files', 'failed'),
            ('validating_files', 'cancelled'),
            ('queued', 'claimed'), ('queued', 'paused'), ('queued', 'cancelled'),
            ('queued', 'failed'),
            ('claimed', 'running'), ('claimed', 'queued'), ('claimed', 'failed'),
            ('claimed', 'paused'), ('claimed', 'cancelled'),
            ('running', 'finalizing'), ('running', 'queued'), ('running', 'failed'),
            ('running', 'paused'), ('running', 'cancelled'),
            ('paused', 'queued'), ('paused', 'cancelled'),
            ('finalizing', 'succeeded'), ('finalizing', 'queued'), ('finalizing', 'failed')
        ) AS legal (was, becomes)
        WHERE was = OLD.state AND becomes = NEW.state
    ) THEN
        RAISE EXCEPTION 'job % may not go from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'claimed' AND NEW.generation <= OLD.generation THEN
        RAISE EXCEPTION 'a claim of job % must raise its generation', OLD.id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""

RECORD = """
CREATE FUNCTION record_job_state() RETURNS trigger LANGUAGE plpgsql AS $$
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
            WHEN 'running' THEN 'Training.'
            WHEN 'paused' THEN 'Paused.'
            WHEN 'finalizing' THEN 'Training has ended; registering the result.'
            WHEN 'succeeded' THEN 'Finished: ' || coalesce(NEW.fine_tuned_model, 'no model') || '.'
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


def upgrade() -> None:
    op.execute(GUARD)
    op.execute(RECORD)
    op.execute(
        "CREATE TRIGGER guard_job BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION guard_job()"
    )
    op.execute(
        "CREATE TRIGGER record_job_state AFTER INSERT OR UPDATE OF state ON jobs "
        "FOR EACH ROW EXECUTE FUNCTION record_job_state()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER record_job_state ON jobs")
    op.execute("DROP TRIGGER guard_job ON jobs")
    op.execute("DROP FUNCTION record_job_state()")
    op.execute("DROP FUNCTION guard_job()")
