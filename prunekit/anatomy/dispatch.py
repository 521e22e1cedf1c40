"""The base of dispatch modes here: torch shows them every operation, and compiles nothing of theirs."""

from torch.utils._python_dispatch import TorchDispatchMode


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its hook untyped
    """A dispatch mode without the wrapper that torch puts around its hook.

    The wrapper keeps torch.compile from looking inside. It imports torch's whole compiler at the first operation, a second of every start,
    and costs a call more at each.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Leave the hook as it is."""
        return False
