"""Variables that are meant as settings of the predictor and are none: a misspelt token must not leave a server open."""

import re
from collections.abc import Collection
from difflib import get_close_matches

from components.errors import RankliftError

PREFIX = "RANKLIFT_PREDICTOR_"

_TOKEN = f"{PREFIX}API_TOKEN"
# Other parts of ranklift read these, and Kubernetes sets the rest in every pod beside a Service that is named
# ranklift-predictor, which is what KServe names it.
_NOT_OURS = re.compile(
    r"(URL|IMAGE|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?|(\w+_)?SERVICE_(HOST|PORT)(_\w+)?|"
    r"\w+_PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)"
)


def check_environment(environment: Collection[str], settings: Collection[str]) -> None:
    """Refuse names that begin as the settings' do and name none, and names close to the token's.

    Args:
        environment: the names of the variables.
        settings: the names of the settings.

    Raises:
        RankliftError: naming the variable, and a likely correction.
    """
    known = [PREFIX + name.upper() for name in settings]
    for name in sorted(environment):
        upper = name.upper()
        if upper not in known and _is_meant_as_a_setting(upper):
            close = get_close_matches(upper, known, 1)
            meant = f"; {close[0]} is one" if close else ""
            raise RankliftError(
                f"The environment has {name}, which is not a setting of the predictor{meant}. Correct or remove it."
            )


def _is_meant_as_a_setting(name: str) -> bool:
    if name.startswith(PREFIX):
        return not _NOT_OURS.fullmatch(name.removeprefix(PREFIX))
    return name.startswith("RANKLIFT") and bool(get_close_matches(name, [_TOKEN], 1, 0.75))
