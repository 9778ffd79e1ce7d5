"""The KFP wrapper of `choose`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def choose(
    measurements: dsl.Input[list[dsl.Artifact]],
    margin: float,
    choice: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
) -> str:
    """Compare the measurements of several base models; returns the one to train."""
    from components.stage import Stage

    with Stage("choose"):
        import sys
        from pathlib import Path

        from components.choose.choose import choose as choose_base_model
        from components.choose.report import write_report
        from components.records.measurement import Measurement

        found = choose_base_model([Measurement.read(Path(one.path)) for one in measurements], margin)
        found.write(Path(choice.path))
        write_report(found, Path(report.path))
        for candidate in found.candidates:
            metrics.log_metric(candidate.base_model, candidate.trained)
        print(f"choose: {found.reason}", f"choose: the report is at {report.path}", sep="\n", file=sys.stderr)
        return found.base_model
