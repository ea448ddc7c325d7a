"""Buckets of metrics, also for the metrics that are stored already."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FROM_STEPS = """
    INSERT INTO metric_buckets
    SELECT job_id, 16, split, name, step / 16 * 16, min(step), max(step), min(value), max(value),
           sum(value), count(value), count(*), (array_agg(value ORDER BY step DESC))[1]
    FROM metrics GROUP BY job_id, split, name, step / 16 * 16
"""
FROM_BUCKETS = """
    INSERT INTO metric_buckets
    SELECT job_id, {width}, split, name, start / {width} * {width}, min(x0), max(x1), min(min),
           max(max), sum(sum), sum(finite), sum(count), (array_agg(last ORDER BY x1 DESC))[1]
    FROM metric_buckets WHERE width = {below}
    GROUP BY job_id, split, name, start / {width} * {width}
"""


def upgrade() -> None:
    op.create_table(
        "metric_buckets",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("x0", sa.BigInteger(), nullable=False),
        sa.Column("x1", sa.BigInteger(), nullable=False),
        sa.Column("min", sa.Double(), nullable=True),
        sa.Column("max", sa.Double(), nullable=True),
        sa.Column("sum", sa.Double(), nullable=True),
        sa.Column("finite", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_metric_buckets_job_id_jobs")
        ),
        sa.PrimaryKeyConstraint(
            "job_id", "width", "split", "name", "start", name=op.f("pk_metric_buckets")
        ),
    )
    op.execute(FROM_STEPS)
    for below, width in ((16, 64), (64, 512), (512, 4096)):
        op.execute(FROM_BUCKETS.format(below=below, width=width))


def downgrade() -> None:
    op.drop_table("metric_buckets")
