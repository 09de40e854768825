import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from dermascreen.network.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        block = b"x" * (64 * 2**20)
        del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_a_freed_block_is_used_again_without_asking_the_system_for_it() -> None:
    found = {
        how: int(subprocess.check_output([sys.executable, "-c", PROGRAM, how], text=True)) for how in ("give", "keep")
    }
    assert found["keep"] < found["give"] / 10
