"""Searching: the champion's index, what two indexes find, and databases that an index is put into."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from components.errors import RankliftError
from components.index.options import MIN_RECALL
from pipeline.commands.groups import grouped
from pipeline.commands.registry_place import Where, registry_at
from pipeline.console import AsJson, answer, open_page, tell, working

_WIDTH = 96  # characters of a text in a line
_PROBES = 500  # queries that a database is verified with

QueriesFile = Annotated[Path | None, typer.Option("--queries", help="A file with one query a line.")]
QueriesData = Annotated[
    Path | None, typer.Option("--data", help="A dataset version or BEIR folder; the model's own when left out.")
]


def search(
    query: Annotated[str, typer.Argument(help="The text to search for.")],
    top_k: Annotated[int, typer.Option(min=1, max=10_000, help="How many passages.")] = 10,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Search among these alone; repeatable.")] = None,
    url: Annotated[str | None, typer.Option(help="A predictor to ask; the champion's here when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the champion's index: its running predictor, or the index itself where none runs.

    Example: ranklift search "travelling salesman"
    """
    from components.machine.settings import home_directory
    from pipeline.local.search import Search, search_at, search_champion

    if not query.strip():
        raise RankliftError("The query is empty; write what to search for, such as `ranklift search 'sort a list'`.")
    if url is not None and not url.startswith(("http://", "https://")):
        raise RankliftError(f"--url {url!r} is no http address; write for example http://127.0.0.1:8080.")
    wanted = Search(query, top_k, ids or [])
    found = search_at(url, wanted) if url else search_champion(home_directory(), wanted)
    tell(f"ranklift: model {found['model_version']}, index {found['index_version']}")
    answer(found, "\n".join(map(_line, found["hits"])) or "No passage was found.", as_json)


def _line(hit: dict[str, Any]) -> str:
    text = " ".join((hit.get("text") or "").split())
    return f"{hit['score']:7.4f}  {hit['id']}  {text if len(text) <= _WIDTH else text[: _WIDTH - 1] + '…'}".rstrip()


@grouped
def compare(
    *,
    previous: Annotated[
        str | None, typer.Argument(help="An index version, such as V1; the previous one if left out.")
    ] = None,
    new: Annotated[str | None, typer.Argument(help="Another one; the champion's when left out.")] = None,
    index: Annotated[bool, typer.Option("--index", help="Compare indexes.")] = False,
    queries: QueriesFile = None,
    data: QueriesData = None,
    most: Annotated[int, typer.Option(min=1, max=1000, help="How many changed queries to show.")] = 20,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a page, such as compare.html.")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open that page in the browser.")] = False,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Show the queries whose ten best passages changed most between two indexes, both rankings side by side.

    Example: ranklift compare --index V1 V2 -o compare.html
    """
    if not index:
        raise RankliftError("Say what to compare: `ranklift compare --index V1 V2`; models: `ranklift models diff`.")
    from components.index.compare import compare as compare_indexes
    from components.index.compare_report import document, lines, report
    from components.machine.settings import home_directory
    from pipeline.local.indexes import current_and_previous, opened, queries_of

    home = home_directory()
    with registry_at(where) as registry, working("compare"):
        if previous is None or new is None:
            current, before = current_and_previous(registry.champion())
            previous, new = previous or before, new or current
        asked = queries_of(registry, home, new, data, queries)
        sides = opened(registry, home, previous), opened(registry, home, new)
        comparison = compare_indexes(*sides, asked.texts, asked.relevant, most=most)
    if output is not None:
        output.write_text(report(comparison, *sides), encoding="utf-8")
        tell(f"ranklift: wrote {output}")
        if open_it:
            open_page(output)
    answer(document(comparison, *sides), lines(comparison, *sides), as_json)


@grouped
def publish(
    *,
    uri: Annotated[
        str,
        typer.Argument(
            help="postgresql://user@host/database, milvus+http://host:19530 or opensearch+https://user@host:9200, "
            "?name=…."
        ),
    ],
    version: Annotated[
        str | None, typer.Argument(help="An index version, such as V1; the champion's if left out.")
    ] = None,
    queries: QueriesFile = None,
    data: QueriesData = None,
    min_recall: Annotated[
        float, typer.Option(min=0, max=1, help="The least share of the ten nearest to be found.")
    ] = MIN_RECALL,
    where: Where,
    as_json: AsJson = False,
) -> None:
    """Put an index version into a database: filled beside what readers see, verified there, then switched in one step.

    Example: ranklift indexes publish "postgresql://user@host/database?name=passages"
    """
    from components.index.sinks.publish import Bounds
    from components.index.sinks.publish import publish as publish_index
    from components.index.sinks.source import content_of, passages_of, probes_of
    from components.index.sinks.uri import open_sink
    from components.machine.settings import home_directory
    from components.model.encoder import comparable
    from pipeline.local.indexes import index_in_service, opened, queries_of

    home, bounds = home_directory(), Bounds(min_recall)
    with closing(open_sink(uri)) as sink, registry_at(where) as registry:
        version = version or index_in_service(registry.champion())
        asked = list(queries_of(registry, home, version, data, queries).texts.values())[:_PROBES]
        if not asked:
            raise RankliftError("There is no query to verify the database with; name a file that has some (--queries).")
        side = opened(registry, home, version)
        vectors = comparable(side.encoder.encode_queries(asked), side.encoder.config)
        probes = probes_of(side.index, vectors, bounds.depth)
        content = content_of(side.index, version)
        published = publish_index(sink, content, passages_of(side.index), probes, bounds=bounds, tell=tell)
    text = f"Readers of {sink.place} see {version}" + (f"; {published.before} is kept." if published.before else ".")
    answer(published._asdict() | {"place": sink.place}, text, as_json)
