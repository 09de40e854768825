"""What the columns of all tables mean."""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from dermascreen.core.tables import Meaning

Texts = npt.NDArray[np.object_]
Numbers = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

# Of longer ones, a column that a program has read as floats may have made two numbers one.
_WHOLE = Meaning("a whole number of at most 15 digits", lambda values: values.mod(1).eq(0) & values.abs().lt(1e15))
_PROBABILITY = Meaning("a number from 0 to 1", lambda values: values.between(0, 1))

NAME = Meaning("a name", lambda values: values.ne(""), number=False)
TEXT = Meaning("text", lambda values: values.notna(), number=False)

Name = Annotated[Texts, NAME]
Text = Annotated[Texts, TEXT]
Label = Annotated[Wholes, Meaning("0 or 1", lambda values: values.isin([0, 1]))]  # benign, malignant
Whole = Annotated[Wholes, _WHOLE]
LesionNumber = Annotated[Wholes, _WHOLE]  # equal for photographs of one lesion
# Written in 32 bits, as the network computes them, and read in 64.
Score = Annotated[npt.NDArray[Any], Meaning("a number", lambda values: values.abs().lt(np.inf))]
Size = Annotated[Numbers, Meaning("a number from 0 on", lambda values: values.between(0, np.inf, inclusive="left"))]
Probability = Annotated[Numbers, _PROBABILITY]  # of malignant
Flag = Annotated[npt.NDArray[np.bool_], Meaning("True or False", lambda values: values.isin([0, 1]))]
SourceSplit = Annotated[
    Texts,
    Meaning("train, val, test or none", lambda values: values.isin(["train", "val", "test", "none"]), number=False),
]
SplitName = Annotated[
    Texts,
    Meaning(
        "train, selection, val, test or excluded",
        lambda values: values.isin(["train", "selection", "val", "test", "excluded"]),
        number=False,
    ),
]
