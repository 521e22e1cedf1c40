"""Find: what is the smallest that still holds?"""

from prunekit.ui.components import show
from prunekit.ui.find import PAGE, question, results
from prunekit.ui.state.current_model import judged_data_in_use, model_in_use

show.heading(PAGE)
now, loaded = model_in_use()
data, task = judged_data_in_use(now, loaded)
with show.plain_errors():
    with show.slot():
        request = question.ask(now, loaded, data, task)
    found = None if request is None else question.known(request, loaded, data)
    with show.slot():
        question.button(now, loaded, request, found)
    if request is not None:
        results.results(now, loaded, request, found, task)
