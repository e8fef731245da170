"""Run by Alembic: brings the tables of the connection that service.store hands over up to date."""

from alembic import context

from service.store import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
