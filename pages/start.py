"""Start: what am I working on?"""

from prunekit.ui.components import show
from prunekit.ui.start import PAGE, baseline, gallery, model_picker, three_pictures, training
from prunekit.ui.state.current_model import model_in_use

show.heading(PAGE)
shelf = model_picker.pick()
with show.slot():
    if shelf == "sample":
        model_picker.samples()
    elif shelf == "own":
        model_picker.own()
    elif shelf:
        model_picker.packaged(shelf)

with show.slot():
    baseline.choose_inputs()
baseline.baseline()
with show.slot():
    data = baseline.predictions()
with show.slot(), show.plain_errors(stop=False):
    training.section(*model_in_use(link=False), data)

show.section("Pruning in three pictures", "Computed here, from the two digits samples.")
with show.plain_errors(stop=False):
    three_pictures.pictures()

show.section("Next")
gallery.next_steps()
