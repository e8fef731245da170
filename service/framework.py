"""The kind of BentoML service that is served with our application and takes its workers from the settings."""

from inspect import getdoc
from typing import Any

import bentoml
from starlette.applications import Starlette

from service.log import write_json
from service.openapi import openapi
from service.settings import Settings
from service.views import VIEWS


class HttpService(bentoml.Service[Any]):  # type: ignore[misc]
    """A BentoML service that is served with AppFactory and takes its workers from the settings."""

    def inject_config(self) -> None:
        """Called by BentoML in every process that starts to serve; the settings are read then, not on import."""
        settings = Settings.from_env()
        if settings.log_format == "json":
            write_json()
        self.config["workers"] = settings.workers
        self.config["threads"] = settings.scoring_threads
        super().inject_config()

    @property
    def openapi_spec(self) -> dict[str, Any]:
        """The OpenAPI document; BentoML's own knows neither our errors nor our examples."""
        return openapi(self.name, getdoc(self.inner) or "", self.apis.values(), self.inner.about, VIEWS)

    def to_asgi(self, is_main: bool = True) -> Starlette:
        """The ASGI application of one worker."""
        # Only workers need it, and its imports would hold up the process that starts them.
        from service.asgi import AppFactory

        self.inject_config()
        return AppFactory(self, is_main=is_main)()
