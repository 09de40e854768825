import pytest

from dermascreen.evidence.frame import frame_mask, frame_share


@pytest.mark.parametrize(
    ("height", "width", "top", "left"),
    [(224, 224, 28, 28), (32, 32, 4, 4), (33, 33, 4, 4), (60, 60, 7, 7), (8, 16, 1, 2)],
)
def test_the_frame_is_an_eighth_of_each_side_rounded_down(height: int, width: int, top: int, left: int) -> None:
    mask = frame_mask(height, width)
    assert mask.shape == (height, width)
    assert mask.sum() == height * width - (height - 2 * top) * (width - 2 * left)
    assert not mask[top:-top, left:-left].any()
    assert frame_share(height, width) == mask.mean()
