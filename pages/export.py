"""Export: how do I take it away?"""

from prunekit.ui.compare import picked_runs
from prunekit.ui.components import show
from prunekit.ui.export import PAGE, export, folders
from prunekit.ui.state.session import settings

show.heading(PAGE)
now, kept = settings(), picked_runs.kept()
if kept is None:
    show.end_page()
with show.plain_errors():
    with show.slot():
        show.section("Take a run away")
        run = export.pick(now, kept)
        if run is not None:
            export.figures(run, kept)
            export.export(run, kept)
            folders.section(run)
    show.section("Take an archive in")
    export.taking_in(kept)
