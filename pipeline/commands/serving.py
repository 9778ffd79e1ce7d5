"""Serving: the champion, or any exported model, as KServe would serve it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from components.deploy.settings import GRPC_PORT, HTTP_PORT
from pipeline.console import tell


def serve(
    model: Annotated[Path | None, typer.Option(help="An exported model; default: the champion.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The HTTP port.")] = HTTP_PORT,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    grpc: Annotated[bool, typer.Option("--grpc", help="Answer gRPC as well.")] = False,
    grpc_port: Annotated[int, typer.Option(min=1, max=65535, help="The gRPC port, with --grpc.")] = GRPC_PORT,
) -> None:
    """Serve the champion; a later `ranklift run` moves it to the next champion with no request lost.

    Example: ranklift serve --port 8080
    """
    from components.deploy.machine.folder import record_predictor
    from components.machine.settings import home_directory
    from components.model.served import EncoderConfig
    from pipeline.local.champion import champion_model, check_no_other_predictor
    from pipeline.local.predictor import predictor_command

    home = home_directory()
    if model is None:
        check_no_other_predictor(home)
    directory = model or champion_model(home)
    config = EncoderConfig.of(directory)
    if model is None:
        check_no_other_predictor(home)  # again: fetching a version may have taken a while
        record_predictor(home, os.getpid(), f"http://127.0.0.1:{port}")
    also = f" and {host}:{grpc_port} for gRPC" if grpc else ""
    tell(
        f"ranklift: serving {directory.resolve().name} ({config.digest[:12]}) on http://{host}:{port}{also}; "
        "Ctrl-C stops it"
    )
    command = predictor_command(directory, port, host, grpc_port if grpc else None)
    os.execv(command[0], command)  # noqa: S606 - the predictor takes this process's place, and its id
