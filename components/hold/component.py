"""The KFP wrapper of `hold`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def hold(decision: dsl.Input[dsl.Artifact]) -> str:
    """Leave champion and registry as they are, and say why."""
    from components.stage import Stage

    with Stage("hold"):
        from pathlib import Path

        from components.hold.hold import hold as explain
        from components.records.decision import Decision

        record = Decision.read(Path(decision.path))
        sentence = explain(record)
        print(sentence, record.line(), sep="\n")
        return sentence
