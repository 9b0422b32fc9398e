"""``python -m bench``: the same as ``python bench/compare.py``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from compare import main  # noqa: E402

sys.exit(main())
