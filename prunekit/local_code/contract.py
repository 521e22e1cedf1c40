"""What a model's and a data set's own Python file must hold: one text for ``--help``, the README and errors, each with the example."""

from __future__ import annotations

from textwrap import fill, indent
from typing import TypeVar

from prunekit.errors import DataError, ModelError, PrunekitError

Fault = TypeVar("Fault", bound=PrunekitError)

MODEL = (
    "A model of your own is path/to/file.py:NAME, where NAME is a function without arguments that returns a torch.nn.Module, its class, "
    "or a module. Attributes of the function may tell the rest: input_shape (of one sample, without the batch; of several inputs a tuple "
    "of shapes), mean and std (one number "
    "for each channel, of pixels in 0..1), classes (names, or how many), data (the name of its data), output (of several tensors that "
    "it returns, the name or the index of the class scores; else they are told by the names logits, scores or "
    "out, or by the number of classes), example (inputs that it accepts, where these are not one float tensor: a tensor, a tuple or a "
    "dict), examples (a list of inputs of other forms, under which a smaller model is proved too), and task (a name such as regression, or "
    "an object with metrics, loss and observe); of a model that reads "
    "text, tokeniser (an object with encode(text) -> ids and decode(ids) -> text). A detector (task object-detection) returns a dict with "
    "two tensors, scores: logits (no sigmoid yet) [pictures, places, classes], and boxes: [pictures, places, 4], corners x1, y1, x2, y2 in "
    "pixels, none left out yet; its method loss(output, targets) trains it where it has one, "
    "else points(height, width) may say where each place is, [places, 2]."
)
DATA = (
    "Data of your own are path/to/file.py:NAME, where NAME is a function without arguments that returns a dataset (test samples alone), "
    '(train, test), or a dict with "train", "validation" and "test". A dataset has len() and gives (x, y) for an index: x a float tensor '
    "just as the model takes it, or uint8 pixels (channels, height, width), which are divided by 255 and normalised by mean and std; all "
    "x of one shape, y a class index from 0. Of a model that reads text x is a text, a str, or its token ids. Or x is a tensor of another "
    "type, a tuple or a dict of tensors, and y a number or whatever the task needs: of a detector a dict with boxes, float [n, 4], and "
    "labels, class indices [n]. Attributes of the function may tell classes, mean and std of uint8 pixels, tokeniser (of token ids, where "
    "the model has none), task, and collate (puts samples together)."
)
UNTOLD = (
    "What nobody tells is read from the data: samples go in at their own size, and are resized only to a size that somebody gave. "
    "Without data a shape is guessed, and called a guess."
)
MODEL_EXAMPLE = """\
def net(): return Net()
net.input_shape = (3, 64, 64)
net.classes = ["cat", "dog"]
"""
DATA_EXAMPLE = """\
def data(): return TensorDataset(x, y), TensorDataset(x_test, y_test)
data.classes = ["cat", "dog"]
"""


def wrong(what: str, error: type[Fault]) -> Fault:
    """Return the error about a file that does not hold what it must."""
    rule, example = (DATA, DATA_EXAMPLE) if issubclass(error, DataError) else (MODEL, MODEL_EXAMPLE)
    assert issubclass(error, (ModelError, DataError))
    return error(f"{what}. {rule} For example: {'; '.join(example.splitlines())}")


def text() -> str:
    """Return all of it, with the examples, in lines of at most 100 characters."""
    parts = [(MODEL, MODEL_EXAMPLE), (DATA, DATA_EXAMPLE), (UNTOLD, "")]
    return "\n\n".join("\n\n".join(filter(None, (fill(rule, 100), indent(example.rstrip(), "    ")))) for rule, example in parts)
