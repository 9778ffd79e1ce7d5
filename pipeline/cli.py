"""The command `ranklift`."""

import sys

import typer
from pydantic import ValidationError

from components.errors import RankliftError
from components.stage import invalid_value
from pipeline.commands import cluster, registry, serving, stages, walk

_OURS = {"components", "pipeline", "predictor"}

app = typer.Typer(
    name="ranklift",
    help="Fine-tune a retrieval model on your data, promote it only when NDCG@10 proves it better, serve it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(walk.run)
app.command("compile")(walk.compile_)
app.command()(cluster.submit)
app.command()(cluster.doctor)
app.command()(stages.prepare)
app.command()(stages.train)
app.command()(stages.export)
app.command()(stages.evaluate)
app.command()(stages.gate)
app.command()(serving.serve)
app.command()(registry.deploy)
app.command()(registry.rollback)
app.command()(registry.prune)
app.command()(registry.verify)
app.add_typer(registry.models, name="models")
app.add_typer(registry.datasets, name="datasets")


def main() -> None:
    """Run a command; a problem that the user can fix is one sentence on standard error and exit status 2.

    A stage that was stopped by a signal ends with 128 + its number, such as 143.
    """
    try:
        app()
    except RankliftError as error:
        _fail(str(error))
        sys.exit(error.exit_status)
    except ValidationError as error:
        sys.exit(_fail(invalid_value(error)))
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


def _fail(sentence: str) -> int:
    print(f"ranklift: error: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
