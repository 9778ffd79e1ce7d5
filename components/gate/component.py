"""The KFP wrapper of `gate`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def gate(
    candidate: dsl.Input[dsl.Artifact],
    champion: dsl.Input[dsl.Artifact],
    min_gain: float,
    alpha: float,
    guards: dict,
    dataset: dsl.Input[dsl.Dataset],
    decision: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
) -> str:
    """Judge two score files; returns "promote" or "hold"."""
    from components.stage import Stage

    with Stage("gate"):
        from pathlib import Path

        from components.gate.decide import decide
        from components.gate.options import GateParameters
        from components.gate.report import write_report
        from components.records.scores import ScoreFile

        ours, theirs = ScoreFile.read(Path(candidate.path)), ScoreFile.read(Path(champion.path))
        record = decide(ours, theirs, GateParameters.of(min_gain=min_gain, alpha=alpha, guards=guards).options())
        record.write(Path(decision.path))
        write_report(record, ours, theirs, Path(report.path), Path(dataset.path))
        for name in ("candidate", "champion", "delta", "p_value"):
            metrics.log_metric(name, getattr(record, name))
        print(record.reason, record.line(), sep="\n")
        return record.verdict
