"""The kinds of sources, each in a module that is imported when one of its kind is configured.

Imported by name, as plug-ins are: HTTP clients and database drivers cost start and memory, and a
gateway without such tools must not pay for them.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Protocol

from penstock.chat.sources import BuiltinSource, Source, Toolboxes
from penstock.chat.tools.builtin import BuiltinSettings, builtin_tools
from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.weather import WeatherSource
from penstock.ground.errors import UserError


class _Kind(Protocol):
    """A module of one kind."""

    def make_source(self, told: SourceSettings, environment: Mapping[str, str]) -> Source: ...


class _Weather(Protocol):
    """The module of the live weather source."""

    def OpenMeteo(self, url: str) -> WeatherSource: ...


def make_toolboxes(
    told: Iterable[SourceSettings],
    environment: Mapping[str, str],
    weather_url: str | None = None,
    database: str | None = None,
) -> Toolboxes:
    """Return the built-in tools and those of the sources that are `told`.

    Raises:
        UserError: something they need is missing or wrong.
    """
    weather = None
    if weather_url:
        module: _Weather = import_module("penstock.chat.tools.open_meteo")
        weather = module.OpenMeteo(weather_url)
    built_in = builtin_tools(BuiltinSettings(weather, database))
    sources: list[Source] = [BuiltinSource(tool) for tool in built_in]
    sources += [_source(each, environment) for each in told]
    return Toolboxes.of(sources)


def _source(told: SourceSettings, environment: Mapping[str, str]) -> Source:
    try:
        kind: _Kind = import_module(f"penstock.chat.tools.{_module_of(told)}")
    except ModuleNotFoundError as error:
        raise UserError(
            f"the tools of {told.name} need a package that is not installed",
            why=f"there is no module {error.name}",
            fix="Install it: pip install 'penstock[mcp]'",
        ) from error
    return kind.make_source(told, environment)


def _module_of(told: SourceSettings) -> str:
    if told.operations:
        return "http_source"
    if told.queries:
        return "sql_source" if told.url else "postgres"
    return "entry_point" if told.python else "mcp_source"
