"""Feedback, jobs, what jobs hold and what came out of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "feedback",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("caller", sa.String(200), nullable=False),
        sa.Column("client_id", sa.String(200)),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("received", sa.Double, nullable=False),
        sa.Column("bundle_version", sa.String(200), nullable=False),
        sa.Column("bundle_digest", sa.String(64), nullable=False),
        sa.UniqueConstraint("caller", "client_id", name="feedback_client_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "jobs",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("caller", sa.String(200), nullable=False),
        sa.Column("idempotency_key", sa.String(200)),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
        sa.Column("error", sa.Text),
        sa.Column("lease", sa.String(32)),
        sa.Column("lease_until", sa.Double),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.UniqueConstraint("caller", "idempotency_key", name="jobs_idempotency_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_state", "jobs", ["state"])
    op.create_table(
        "job_items",
        sa.Column("job", NUMBER, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("item", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "job_results",
        sa.Column("job", NUMBER, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("item", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("scored", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Drops the tables and all that is in them."""
    for name in ("job_results", "job_items", "jobs", "feedback"):
        op.drop_table(name)
