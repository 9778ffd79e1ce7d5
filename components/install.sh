#!/bin/sh
# Installs what is pinned for one extra of the project (or the core) into /opt/venv: run by the Dockerfiles alone.
#
#   /installer/pip        a pip of the builder's own, which no image carries
#   /installer/*.txt      requirements, one file an extra, and constraints.txt
#   /installer/requirements.lock   the hashes that every package but torch must have
#   /wheels               wheels that are preferred to an index's; empty unless WHEELS_IMAGE is given
#   /run/secrets/pip_ca   the CA bundle of whoever builds, when they need one
set -eu
if [ -s /run/secrets/pip_ca ]; then
    export PIP_CERT=/run/secrets/pip_ca
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

install_wheels() {
    /installer/pip/bin/python -m pip --python /opt/venv/bin/python --disable-pip-version-check --no-input install \
        --quiet --root-user-action=ignore --only-binary=:all: --find-links=/wheels "$@"
}

# pip checks hashes only where every requirement has one, so it is asked first what it would install.
install_wheels --dry-run --report "$scratch/report.json" --constraint=/installer/constraints.txt "$@"
python3 /installer/locked.py "$scratch/report.json" /installer/requirements.lock "$scratch"
install_wheels --no-deps --require-hashes --requirement "$scratch/locked.txt"
install_wheels --no-deps --requirement "$scratch/of_torch.txt"

# Nearly half a gigabyte that nothing here reads: other people's test suites, what it takes to compile against torch,
# and OpenVINO's plugins for processors that models are not exported for.
cd /opt/venv/lib/python3*/site-packages
for package in matplotlib networkx pandas pyarrow scipy sklearn sympy; do
    if [ -d "$package" ]; then
        find "$package" -type d -name tests -prune -exec rm -r {} +
    fi
done
rm -rf torch/include torch/test pyarrow/include
rm -f openvino/libs/libopenvino_intel_[gn]pu_* openvino/libs/cache.json
if [ -d torch/bin ]; then
    find torch/bin -type f ! -name torch_shm_manager -delete
fi
