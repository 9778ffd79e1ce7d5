"""The KFP wrapper of `hold`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def hold(decision: dsl.Input[dsl.Artifact]) -> str:
    """Leave champion and registry as they are, and say why."""
    from pathlib import Path

    from components.decision import Decision
    from components.hold.hold import hold as explain
    from components.stage import reported

    with reported():
        sentence = explain(Decision.read(Path(decision.path)))
        print(sentence)
        return sentence
