import subprocess
import sys

import pytest

ENDING = """
import atexit
import gc
import sys

from dermascreen.core.program import reported

atexit.register(lambda: print(gc.get_freeze_count() > 0))  # called last
atexit.register(lambda: print("leaked", file=sys.stderr))
sys.modules |= dict.fromkeys({modules})
with reported("stage"):
    pass
print("ended")
"""


@pytest.mark.parametrize(("modules", "said"), [([], "leaked\n"), (["triton._C.libtriton"], "")])
def test_a_program_ends_without_a_search_for_cycles_and_hears_of_no_leaks(modules, said):
    command = [sys.executable, "-c", ENDING.format(modules=modules)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    assert ended.stdout.split() == ["ended", "True"]
    assert ended.stderr == said
