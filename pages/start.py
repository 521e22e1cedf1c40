"""Start: what am I working on?"""

from prunekit.ui import gallery, scratch, shelves, show, start, teaching
from prunekit.ui.current import model_in_use

show.heading(
    "What do you want to prune?",
    "Choose a model, and see what it can do before anything is removed: accuracy, size and cost are what pruning "
    "trades against each other.",
)
shelf = shelves.pick()
with show.slot():
    if shelf == "sample":
        shelves.samples()
    elif shelf == "torchvision":
        shelves.torchvision()
    else:
        shelves.own()

start.baseline()
with show.slot():
    data = start.predictions()
with show.slot(), show.plain_errors(stop=False):
    scratch.section(*model_in_use(link=False), data)

show.section("Pruning in three pictures", "Computed here, from the two digits samples.")
with show.plain_errors(stop=False):
    teaching.pictures()

show.section("Next")
gallery.next_steps()
