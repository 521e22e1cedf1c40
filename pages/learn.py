"""Learn: what does pruning do?"""

from prunekit.ui.components import show
from prunekit.ui.learn import PAGE, glossary, good_and_bad, lesson, versus
from prunekit.ui.state.session import settings

PARTS = {"lessons": lesson.draw, "versus": versus.draw, "presets": good_and_bad.draw, "words": glossary.glossary, "sheet": glossary.draw}

now = settings()
lesson.style(large=now.large)
show.heading(PAGE)
lesson.bar()
with show.plain_errors():
    PARTS[now.part](now)
