from __future__ import annotations
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks import results_teachers
from jaxmaze import cli
if __name__ == "__main__":
    cli.prepare()
    results_teachers.make_all(sys.argv[1].split(","))
