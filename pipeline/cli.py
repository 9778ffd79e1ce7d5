"""The command `ranklift`."""

import io
import os
import sys
from pathlib import Path

import typer
from pydantic import ValidationError

from components.errors import RankliftError
from components.machine.garbage import spare_collections
from components.machine.system_faults import system_sentence
from components.stage import invalid_value
from pipeline.commands import (
    choose,
    cluster,
    datasets,
    indexes,
    models,
    reindex,
    release,
    run,
    search,
    serving,
    stages,
    upkeep,
)

_OURS = {"components", "pipeline", "predictor"}

app = typer.Typer(
    name="ranklift",
    help="Fine-tune a retrieval model on your data, promote it only when NDCG@10 proves it better, serve it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(run.run)
app.command("compile")(run.compile_)
app.command()(cluster.submit)
app.command()(cluster.doctor)
app.command()(choose.choose)
app.command()(stages.prepare)
app.command()(stages.train)
app.command()(stages.export)
app.command()(stages.evaluate)
app.command()(stages.gate)
app.command()(stages.index)
app.command()(serving.serve)
app.command()(search.search)
app.command()(search.compare)
app.command()(reindex.reindex)
app.command()(release.deploy)
app.command()(release.rollback)
app.command()(upkeep.prune)
app.command()(upkeep.verify)
app.add_typer(models.models, name="models")
app.add_typer(datasets.datasets, name="datasets")
indexes.indexes.command("publish")(search.publish)
app.add_typer(indexes.indexes, name="indexes")


def main() -> None:
    """Run a command; a problem that the user can fix is one sentence on standard error and exit status 2.

    A stage that was stopped by a signal ends with 128 + its number, such as 143.
    """
    _prepare_terminal()
    spare_collections()
    try:
        _check_working_folder()
        app()
    except RankliftError as error:
        _fail(str(error))
        sys.exit(error.exit_status)
    except ValidationError as error:
        sys.exit(_fail(invalid_value(error)))
    except OSError as error:
        sentence = system_sentence(error)
        if sentence is None:
            raise
        sys.exit(_fail(sentence))
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package in _OURS:
            raise
        sys.exit(
            _fail(
                f"This command needs the package {package}, which is not installed; `pip install 'ranklift[all]'` "
                "brings what every command needs, and a stage's extra, such as ranklift[train], what that stage needs."
            )
        )


def _prepare_terminal() -> None:
    """Speak UTF-8 whatever the locale is: names of files and texts of users are printed, and stages read them.

    Under another encoding Python starts again, as only a new process can change how it reads the names of files.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same command again
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise RankliftError("The working folder was removed; change to an existing folder and retry.") from error


def _fail(sentence: str) -> int:
    print(f"ranklift: error: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
