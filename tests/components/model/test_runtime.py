"""OpenVINO as a process holds it: whatever models come and go, signals reach their handlers; nobody is told of it."""

import os
import subprocess
import sys
import textwrap

import pytest

_PROLOGUE = """
    import gc, os, signal, sys, threading
    from pathlib import Path
    from components.model.encoder import Encoder

    model, scratch = map(Path, sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))

    def elsewhere(function):
        thread = threading.Thread(target=function)
        thread.start()
        thread.join()
"""
_EPILOGUE = """
    print([name for name in sys.modules if name.startswith("openvino_telemetry.")])
    gc.collect()
    os.kill(os.getpid(), signal.SIGTERM)
"""
_LIVES = {
    "the older of two models is closed first": """
        models = [Encoder.open(model), Encoder.open(model)]
        del models[0]
        del models[0]
    """,
    "another thread closes the model": """
        models = [Encoder.open(model)]
        elsewhere(models.clear)
    """,
    "another thread opens one while this has one": """
        models = [Encoder.open(model)]
        elsewhere(lambda: models.append(Encoder.open(model)))
        models.clear()
    """,
    "int8 export between two models": """
        from components.export.model import export_model
        models = [Encoder.open(model)]
        export_model(model, scratch, texts=["sort the array", "find the path"], precision="int8")
        models.append(Encoder.open(scratch))
        elsewhere(models.clear)
    """,
}


#: Where one of these is set, OpenVINO takes the machine for one of continuous integration and reports nothing.
_CONTINUOUS_INTEGRATION = ("CI", "TF_BUILD", "JENKINS_URL")


@pytest.mark.parametrize("life", _LIVES.values(), ids=_LIVES)
def test_signal_reaches_its_handler_after_models_come_and_go_and_nobody_is_told(life, exported_tiny_model, tmp_path):
    script = "\n".join(map(textwrap.dedent, (_PROLOGUE, life, _EPILOGUE)))
    command = [sys.executable, "-c", script, str(exported_tiny_model), str(tmp_path / "export")]
    environment = {name: value for name, value in os.environ.items() if name not in _CONTINUOUS_INTEGRATION}
    environment["HOME"] = str(tmp_path)
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.splitlines()[-2:]) == (0, ["[]", "handled"]), ended.stderr[-2000:]
    assert not (tmp_path / "intel").exists(), "OpenVINO made an identifier to report with"
