"""``python -m predictor --model_dir DIR --http_port N --model_name ranklift``."""

import sys

from predictor.lean_kserve import use_lean_kserve

if __name__ == "__main__":
    use_lean_kserve()
    from predictor.server import main

    sys.exit(main())
