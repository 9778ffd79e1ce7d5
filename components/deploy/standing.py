"""What was promoted and what is in service: they differ while a deploy runs, and after a killed deploy."""

from typing import NamedTuple

from components.registry.champion import Champion


class Standing(NamedTuple):
    """The champion of the registry beside what is really served."""

    promoted: str  #: the champion, such as "V3"; empty while nothing has been promoted
    in_service: str  #: what the predictor is asked to serve; empty when there is none
    answering: str = ""  #: what it answers with, where somebody asked

    @property
    def agrees(self) -> bool:
        """Whether what is in service, and answers where somebody asked, is the champion."""
        return {self.in_service, self.answering or self.in_service} == {self.promoted}

    @property
    def sentence(self) -> str:
        """What is promoted and what serves, in one sentence without its full stop."""
        if not self.promoted:
            return f"nothing has been promoted, and {self.in_service or 'nothing'} is in service"
        if self.agrees:
            return f"{self.promoted} is champion and in service"
        if not self.in_service:
            return f"{self.promoted} is champion, and nothing is in service"
        if self.in_service == self.promoted:
            return f"{self.promoted} is champion and asked for, and {self.answering} still answers"
        return f"{self.promoted} is champion, and {self.in_service} is in service"

    def command(self, namespace: str | None = None) -> str:
        """Return the command that makes the two one; empty when they are.

        Args:
            namespace: of the InferenceService, when a cluster serves.
        """
        return "" if self.agrees or not self.promoted else deploy_command(self.promoted, namespace)


def deploy_command(version: str, namespace: str | None = None) -> str:
    """Return the command that puts a version into service, from whatever machine it is typed at.

    Args:
        version: such as "V3"; the champion when empty.
        namespace: of the InferenceService, when a cluster serves.
    """
    place = f"--namespace {namespace}" if namespace else ""
    return " ".join(filter(None, ["ranklift deploy", version, place]))


def manifest_serves(version: str, index: str | None) -> bool:
    """Whether `kubectl apply -f kserve/inference-service.yaml` serves a champion; it names V0, and no index.

    A first champion is another version where another run was faster with that number.
    """
    return version == "V0" and not index


def standing(champion: Champion | None, in_service: str, answering: str = "") -> Standing:
    """How the champion and a predictor stand to each other.

    Args:
        champion: the registry's.
        in_service: the version that the predictor is asked to serve: `revision_of(service).version` of an
            InferenceService, `current_version(home)` of this machine.
        answering: the version that it answers with, where somebody asked.
    """
    return Standing(champion.version if champion is not None else "", in_service, answering)


def standing_of_versions(champion: Champion | None) -> dict[str, str]:
    """Return the notes beside versions in a list: the champion, and what was promoted but does not serve."""
    if champion is None:
        return {}
    said = dict.fromkeys(champion.undeployed, "not deployed")
    seen = champion.in_service
    if seen is None or seen.version == champion.version:
        return {**said, champion.version: "champion"}
    return {**said, seen.version: "in service", champion.version: "champion, not in service yet"}
