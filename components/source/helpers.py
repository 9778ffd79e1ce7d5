"""The models that help with the training of another: checked before anything slow begins."""

from components.model.cross_encoder import teacher_directory
from components.model.generator import generator_directory


def check_helpers(query_generator: str, teacher: str) -> None:
    """Raise a ModelError when a query generator or a teacher cannot be had, or is a model of another kind.

    Args:
        query_generator: its name; empty for none.
        teacher: the same.
    """
    if query_generator:
        generator_directory(query_generator)
    if teacher:
        teacher_directory(teacher)
