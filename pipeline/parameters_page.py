"""``docs/parameters.md``, written from the declarations of the parameters.

python -m pipeline.parameters_page docs/parameters.md
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from components.gate.options import GUARD_NAMES, GUARDS, GateOptions
from pipeline.declaration import Parameter, declared, public_fields
from pipeline.parameters import PARAMETERS, STAGE_PARAMETERS

_HEAD = """# Parameters

<!-- Written by `make docs-parameters` from the options of the stages, and checked by a test. Change it there. -->

`ranklift run --max-triplets 900` sets a parameter here, `ranklift submit --param max_triplets=900` in one run on a
cluster, and `ranklift compile --param max_triplets=900` changes its default in the compiled pipeline. Each command of a
stage, such as `ranklift prepare`, has the options of that stage with the same defaults. All values are checked before
the first stage starts.

## Of the pipeline
"""
_STAGE_ONLY = """
## Of one stage's command alone

In the pipeline these stages decide from the dataset version.
"""
_GUARDS = """
## Limits of the gate

`--guard NAME=LIMIT` sets one and may be repeated, as `--guard max_recall_drop=0.05 --guard max_latency_ms=off`; on a
cluster it is `--param 'guards={"max_recall_drop": 0.05, "max_latency_ms": "off"}'`. [The gate](gate.md) explains them.
"""
_HEADER = ("name", "stage", "type", "default", "bounds", "what it does")


def parameters_page() -> str:
    """Return the page."""
    stage_only = [
        declared(options, name)
        for options, names in STAGE_PARAMETERS.items()
        for name in public_fields(options)
        if name not in names.values()
    ]
    limits = [declared(GateOptions, name) for name in GUARD_NAMES]
    return "\n".join(
        [
            _HEAD,
            *_table(_HEADER, map(_row, PARAMETERS.values())),
            _STAGE_ONLY,
            *_table(_HEADER, map(_row, stage_only)),
            _GUARDS,
            *_table(("name", "type", "default", "bounds", "can be off", "what it does"), map(_limit_row, limits)),
            "",
        ]
    )


def _row(parameter: Parameter) -> Sequence[str]:
    name = f"`{parameter.name}`"
    cells = parameter.type_text(), parameter.default_text(), parameter.bounds_text()
    return name, ", ".join(parameter.stages), *cells, parameter.description


def _limit_row(parameter: Parameter) -> Sequence[str]:
    can_be_off = "yes" if parameter.name in GUARDS else "no"
    cells = parameter.type_text(), parameter.default_text(), parameter.bounds_text(), can_be_off
    return f"`{parameter.name}`", *cells, parameter.description


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(parameters_page(), encoding="utf-8")
