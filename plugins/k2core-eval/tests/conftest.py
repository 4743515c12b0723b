"""Makes `made` importable: the generator of evaluations that these tests share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
