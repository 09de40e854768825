import subprocess
import sys

ENDING = """
import atexit
import gc

from dermascreen.core.program import reported

atexit.register(lambda: print(gc.get_freeze_count() > 0))  # called last
with reported("stage"):
    pass
print(gc.get_freeze_count() > 0)
"""


def test_a_program_that_ends_does_not_search_what_it_imported_for_cycles():
    ended = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=True)

    assert ended.stdout.split() == ["False", "True"]
