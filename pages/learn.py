"""Learn: what does pruning do?"""

from prunekit.ui import learning

learning.page()
