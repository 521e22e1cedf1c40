"""The papers that the glossary points to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """Where something comes from.

    Attributes
    ----------
    authors : str
        Family names; "et al." after the first where there are more than four.
    year : int
        Of the publication.
    title : str
        In full.
    arxiv : str
        Its number on arXiv, or empty.
    place : str
        Journal or conference, where it is not on arXiv.
    """

    authors: str
    year: int
    title: str
    arxiv: str = ""
    place: str = ""

    def __str__(self) -> str:
        """Return the citation in one line."""
        where = f"arXiv:{self.arxiv}" if self.arxiv else self.place
        return f"{self.authors} {self.year}, {self.title}, {where}"

    @property
    def link(self) -> str:
        """Its address; empty where it has no number on arXiv."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""


WILSON = Paper(
    "Wilson",
    1927,
    "Probable Inference, the Law of Succession, and Statistical Inference",
    place="Journal of the American Statistical Association 22",
)
MCNEMAR = Paper(
    "McNemar", 1947, "Note on the sampling error of the difference between correlated proportions or percentages", place="Psychometrika 12"
)
BRAIN_DAMAGE = Paper("LeCun, Denker and Solla", 1990, "Optimal Brain Damage", place="Advances in Neural Information Processing Systems 2")
BATCH_NORM = Paper(
    "Ioffe and Szegedy", 2015, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift", "1502.03167"
)
DISTILLATION = Paper("Hinton, Vinyals and Dean", 2015, "Distilling the Knowledge in a Neural Network", "1503.02531")
HAN = Paper("Han, Pool, Tran and Dally", 2015, "Learning both Weights and Connections for Efficient Neural Networks", "1506.02626")
DEEP_COMPRESSION = Paper(
    "Han, Mao and Dally",
    2016,
    "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained Quantization and Huffman Coding",
    "1510.00149",
)
FILTERS = Paper("Li et al.", 2017, "Pruning Filters for Efficient ConvNets", "1608.08710")
GRADUAL = Paper("Zhu and Gupta", 2017, "To prune, or not to prune: exploring the efficacy of pruning for model compression", "1710.01878")
SLIMMING = Paper("Liu et al.", 2017, "Learning Efficient Convolutional Networks through Network Slimming", "1708.06519")
FPGM = Paper("He et al.", 2019, "Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration", "1811.00250")
LOTTERY = Paper("Frankle and Carbin", 2019, "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks", "1803.03635")
SNIP = Paper("Lee, Ajanthan and Torr", 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", "1810.02340")
STATE_OF_SPARSITY = Paper("Gale, Elsen and Hooker", 2019, "The State of Sparsity in Deep Neural Networks", "1902.09574")
TAYLOR = Paper("Molchanov et al.", 2019, "Importance Estimation for Neural Network Pruning", "1906.10771")
EAGLE_EYE = Paper("Li et al.", 2020, "EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning", "2007.02491")
REWINDING = Paper("Renda, Frankle and Carbin", 2020, "Comparing Rewinding and Fine-tuning in Neural Network Pruning", "2003.02389")
RIGL = Paper("Evci et al.", 2020, "Rigging the Lottery: Making All Tickets Winners", "1911.11134")
STATE = Paper("Blalock et al.", 2020, "What is the State of Neural Network Pruning?", "2003.03033")
LAMP = Paper("Lee et al.", 2021, "Layer-adaptive sparsity for the Magnitude-based Pruning", "2010.07611")
TWO_FOUR = Paper("Mishra et al.", 2021, "Accelerating Sparse Deep Neural Networks", "2104.08378")
DEPGRAPH = Paper("Fang et al.", 2023, "DepGraph: Towards Any Structural Pruning", "2301.12900")
WANDA = Paper("Sun, Liu, Bair and Kolter", 2023, "A Simple and Effective Pruning Approach for Large Language Models", "2306.11695")
