"""The kind of machine that results were made on: what decides their last bits, and nothing that tells whose it is."""

import platform
from pathlib import Path
from typing import ClassVar, Self

import onnxruntime
import torch

from dermascreen.core.records import Record

CPUINFO = Path("/proc/cpuinfo")  # of Linux


class Machine(Record):
    """A processor, its GPUs and the software that computes on them; no host name, no user, no path."""

    PATH: ClassVar[Path] = Path("machine.json")

    processor: str
    instructions: str  # the vector instruction set that torch uses, such as AVX2
    threads: int  # that torch uses
    gpus: tuple[str, ...]
    python: str
    torch: str  # its version
    system: str  # the operating system and the machine's architecture
    onnxruntime: str | None = None  # its version; None in what was kept before it predicted

    @classmethod
    def here(cls) -> Self:
        """The machine that this runs on."""
        return cls(
            processor=_processor(),
            instructions=torch.backends.cpu.get_cpu_capability(),
            threads=torch.get_num_threads(),
            gpus=tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())),
            python=platform.python_version(),
            torch=str(torch.__version__),
            system=f"{_system()}, {platform.machine()}",
            onnxruntime=onnxruntime.__version__,
        )

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        predicts = f", onnxruntime {self.onnxruntime}" if self.onnxruntime else ""
        return (
            f"{self.processor} with {self.instructions}, {threads}, {' and '.join(self.gpus) or 'no GPU'}; "
            f"Python {self.python}, torch {self.torch}{predicts}, {self.system}"
        )


def _processor() -> str:
    if CPUINFO.is_file():
        for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
