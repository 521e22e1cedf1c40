"""Learn: what does pruning do?"""

from prunekit.ui import learn

learn.page()
