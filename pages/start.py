"""Start: what am I working on?"""

from prunekit.ui import gallery, shelves, show, start, teaching

show.heading(
    "What do you want to prune?",
    "Choose a model, and see what it can do before anything is removed: accuracy, size and cost are what pruning "
    "trades against each other.",
)
shelf = shelves.pick()
if shelf == "sample":
    shelves.samples()
elif shelf == "torchvision":
    shelves.torchvision()
else:
    shelves.own()

start.baseline()
start.predictions()

show.section("Pruning in three pictures", "Computed here, from the two digits samples.")
with show.plain_errors(stop=False):
    teaching.pictures()

show.section("Next")
gallery.next_steps()
