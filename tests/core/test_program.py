import subprocess
import sys

import pytest

ENDING = """
import atexit
import gc
import sys

from dermascreen.core.program import reported

atexit.register(lambda: print(gc.get_freeze_count() > 0))  # called last
sys.modules |= dict.fromkeys({modules})
if {modules}:
    gc.freeze()  # as stages do with what they import
with reported("stage"):
    pass
print("ended")
"""


@pytest.mark.parametrize(("modules", "left"), [([], "True"), (["triton._C.libtriton"], "False")])
def test_a_program_ends_without_a_search_for_cycles_unless_that_is_called_a_leak(modules, left):
    command = [sys.executable, "-c", ENDING.format(modules=modules)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    assert ended.stdout.split() == ["ended", left]
