"""Does a photograph's logit depend on the others of its batch, and what does it cost that it does not?

    python benchmarks/company.py --size 224 --images 128

For each way of running ResNet50 (random weights) the images a second, against batches of 64 as they come, and the
largest difference between the logit of an image alone and among others. A way is usable where that is exactly 0.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torchvision.models import resnet50

Way = Callable[[torch.Tensor], torch.Tensor]


def in_batches(network: torch.nn.Module, size: int) -> Way:
    """As they come: the last batch is smaller."""
    return lambda images: torch.cat([network(part) for part in images.split(size)])


def padded(network: torch.nn.Module, size: int) -> Way:
    """Every batch has the same shape, filled up with zeros."""

    def run(images: torch.Tensor) -> torch.Tensor:
        found = []
        for part in images.split(size):
            whole = part.new_zeros(size, *part.shape[1:])
            whole[: len(part)] = part
            found.append(network(whole)[: len(part)])
        return torch.cat(found)

    return run


def apart(way: Way, images: torch.Tensor) -> float:
    """The largest difference of a logit alone and among others, at several places of a batch."""
    among = way(images)
    turned = way(images.roll(5, 0)).roll(-5, 0)
    alone = torch.cat([way(images[at : at + 1]) for at in range(0, len(images), 7)])
    return max((among[::7] - alone).abs().max().item(), (among - turned).abs().max().item())


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=128)
    wanted = parser.parse_args()
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = resnet50(num_classes=1).eval().to(device, memory_format=torch.channels_last)
    images = torch.randn(wanted.images, 3, wanted.size, wanted.size, device=device)
    ways = {f"{name} of {size}": way(network, size) for size in (64, 32, 8, 4, 1) for name, way in WAYS.items()}
    where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{where}, {wanted.size} px")
    base = None
    for name, way in ways.items():
        times = []
        for _ in range(4):
            began = time.perf_counter()
            way(images).sum().item()
            times.append(time.perf_counter() - began)
        speed = len(images) / min(times[1:])
        base = base or speed
        found = apart(way, images)
        print(f"{name:14} {speed:8.1f} images/s  {speed / base:5.2f}  largest difference {found:.1e}", flush=True)


WAYS = {"batches": in_batches, "padded": padded}

if __name__ == "__main__":
    main()
