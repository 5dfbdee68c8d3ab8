"""Lets the tests of pages share how a page is read."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for page_reader.py; the tests are no package
