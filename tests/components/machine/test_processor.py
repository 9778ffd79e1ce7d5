"""What a processor's flags say of it."""

import pytest

from components.machine.processor import has_bf16, has_sha256

FLAGS = {
    "x86 with both": ("flags\t\t: fpu sse2 sha_ni avx512_bf16", (True, True)),
    "x86 with SHA-256 alone": ("flags\t\t: fpu sse2 sha_ni avx2", (False, True)),
    "x86 with neither": ("flags\t\t: fpu sse2 avx2", (False, False)),
    "Arm with both": ("Features\t: fp asimd sha1 sha2 bf16", (True, True)),
    "Arm with SHA-1 alone": ("Features\t: fp asimd sha1", (False, False)),
    "no flags": ("processor\t: 0", (False, False)),
}


@pytest.mark.parametrize(("line", "expected"), FLAGS.values(), ids=FLAGS)
def test_flags_of_the_first_processor_say_what_hardware_computes(tmp_path, line, expected):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{line}\nprocessor\t: 1\n")
    assert (has_bf16(cpuinfo), has_sha256(cpuinfo)) == expected


def test_flags_without_a_file_say_nothing(tmp_path):
    assert not has_bf16(tmp_path / "none")
    assert not has_sha256(tmp_path / "none")
