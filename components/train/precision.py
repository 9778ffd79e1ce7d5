"""The number format that training computes in."""

from components.machine.processor import has_bf16


def uses_bf16(precision: str) -> bool:
    """Whether a precision comes to bf16 here: where it is asked for, or a processor computes in it."""
    import torch

    if precision == "auto":
        if torch.cuda.is_available():
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return has_bf16()
    return precision == "bf16"
