import numpy as np
import pytest
import torch

from dermascreen.model.inference import symmetries


def test_symmetries_are_the_eight_of_the_square() -> None:
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    views = [view.numpy()[0, 0] for view in symmetries(image)]
    expected = [np.rot90(side, k) for k in range(4) for side in (image.numpy()[0, 0], image.numpy()[0, 0].T)]
    assert {view.tobytes() for view in views} == {np.ascontiguousarray(view).tobytes() for view in expected}
    assert len({view.tobytes() for view in views}) == 8
    assert np.array_equal(views[0], image.numpy()[0, 0])


@pytest.mark.parametrize("turns", range(4))
def test_the_views_of_a_turned_image_are_the_same_views(turns) -> None:
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    plain, turned = ({view.numpy().tobytes() for view in symmetries(i)} for i in (image, image.rot90(turns, (2, 3))))
    assert plain == turned
