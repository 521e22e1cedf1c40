"""Compare: which one do I take?"""

from prunekit.ui.compare import PAGE, all_runs, picked_runs, tabs, top
from prunekit.ui.components import show
from prunekit.ui.state.session import settings

show.heading(PAGE)
now, kept = settings(), picked_runs.kept()
if kept is None:
    show.end_page()
with show.plain_errors():
    all_runs.section(now, kept)
    runs = picked_runs.picked(now, kept)
    found = picked_runs.comparison(runs, kept)
    with show.slot():
        top.strip(runs, found, kept)
    if found is None:
        show.end_page()
    with show.slot():
        top.answer(found)
        picked_runs.missing(now, found, kept)
    tabs.tabs(now, found, kept)
    top.section(now, found, kept)
