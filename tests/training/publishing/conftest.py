"""Makes the small Hub of this folder importable; the tests are no package."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))
