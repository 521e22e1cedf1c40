"""The field's words in plain ones, and the papers behind them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from prunekit.errors import PrunekitError


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


@dataclass(frozen=True)
class Term:
    """One word.

    Attributes
    ----------
    word : str
        As the lessons use it.
    meaning : str
        One or two plain sentences.
    paper : Paper or None
        Where it comes from, for what has one source.
    """

    word: str
    meaning: str
    paper: Paper | None = None

    @property
    def key(self) -> str:
        """The word as part of an address: ``n-m-sparsity``."""
        return re.sub(r"[^a-z0-9]+", "-", self.word.lower()).strip("-")


TERMS: tuple[Term, ...] = (
    Term("accuracy", "The share of images that the network reads right. It is always shown with the number of images and its interval."),
    Term(
        "AGP",
        "Automated gradual pruning: sparsity rises in many steps, fast at first and slowly at the end, with training between.",
        GRADUAL,
    ),
    Term("batch", "How many images go through the network at a time."),
    Term(
        "BatchNorm",
        "A layer that brings each channel to the same scale, with a mean and a variance that it has seen in training.",
        BATCH_NORM,
    ),
    Term(
        "BatchNorm scale",
        "A criterion for channels: the factor that BatchNorm gives a channel. A small factor mutes the channel.",
        SLIMMING,
    ),
    Term("channel", "What one filter makes: one picture among those that a layer hands to the next one."),
    Term("compression ratio", "Size before by size after: 5 means that a fifth is left.", STATE),
    Term("coupling", "Layers that have to shrink together, because the channels of one enter the other or are added to it.", DEPGRAPH),
    Term("criterion", "The rule that says which weights or channels count least and go first.", BRAIN_DAMAGE),
    Term("distillation", "Training a small network on the answers of a larger one, not only on the labels.", DISTILLATION),
    Term("epoch", "One pass over all training images."),
    Term("ERK", "Erdos-Renyi kernel: shares of sparsity by the shapes of the layers, so that small layers keep more.", RIGL),
    Term("filter", "The weights of one output of a convolution. It slides over the picture and looks for one pattern."),
    Term("fine-tuning", "Training a pruned network a little more, so that what is left makes up for what is gone.", REWINDING),
    Term("FPGM", "A criterion for channels: those most like all others go, because the others can stand in for them.", FPGM),
    Term("global scope", "All layers are ranked together, so that some give much and others little. The opposite is uniform scope."),
    Term("histogram", "Bars that show how many weights have which size."),
    Term("interval", "The range in which the true accuracy lies with 95 % confidence. Few images make it wide.", WILSON),
    Term("iterative pruning", "Cutting and training in turns, a part each time, instead of one large cut.", HAN),
    Term(
        "LAMP",
        "A criterion for single weights that makes layers comparable: each weight against the larger ones of its layer.",
        LAMP,
    ),
    Term("latency", "How long the network takes for one batch, measured on a machine and true for that machine."),
    Term("layer", "One step of a network: it takes numbers in, multiplies them by its weights, and hands the sums on."),
    Term(
        "lottery ticket",
        "A small part of a fresh network that, trained alone from its first weights, does as well as the whole.",
        LOTTERY,
    ),
    Term("MACs", "Multiply-accumulates: how many multiplications with an addition one image takes. A measure of work, not of time."),
    Term("magnitude", "The size of a weight without its sign. Magnitude pruning removes the smallest first.", HAN),
    Term("mask", "A yes or no for each weight. Where it says no, the weight is set to zero; the shape stays."),
    Term("N:M sparsity", "Of every M weights in a row N may stay, as in 2:4. Some graphics cards run this pattern faster.", TWO_FOUR),
    Term("one-shot", "One cut to the final sparsity, instead of several small ones.", HAN),
    Term("proof", "A check after surgery: the smaller network must give what the original gives with the same channels set to zero."),
    Term("recalibration", "Measuring BatchNorm's means and variances again after pruning. No weight changes.", EAGLE_EYE),
    Term("sensitivity", "How much accuracy falls when only one layer is pruned.", HAN),
    Term(
        "significant",
        "More than chance explains. p is how often equal networks would come out so different; less than once in twenty times counts.",
        MCNEMAR,
    ),
    Term("SNIP", "A criterion for single weights: how much the loss would change without the connection, by the gradient.", SNIP),
    Term("sparse accelerator", "A chip that skips multiplications by zero, so that zeros save time and not only space.", TWO_FOUR),
    Term(
        "sparse format",
        "A way to store only what is not zero, and where it stands: a bitmap has a bit for each place, CSR the column of each number.",
        DEEP_COMPRESSION,
    ),
    Term(
        "sparsity",
        "The share that is removed: at 70 % three of ten weights are left. Density is the share that stays.",
        STATE_OF_SPARSITY,
    ),
    Term("structured pruning", "Removing whole filters, channels or neurons, so that a smaller network is left.", FILTERS),
    Term("surgery", "Cutting channels out for good: the tensors get smaller, in the layer itself and in those behind it.", DEPGRAPH),
    Term("Taylor", "A criterion by the gradient: how much the loss would change without the weight or channel.", TAYLOR),
    Term("test images", "Images that had no say in any choice. They are looked at last, to confirm."),
    Term("uniform scope", "Every layer gives the same share. The opposite is global scope."),
    Term("unstructured pruning", "Removing single weights, wherever they stand. The shape stays, and zeros stand in their place.", HAN),
    Term("validation images", "Images that the network was not trained on and by which choices are made."),
    Term("Wanda", "A criterion for single weights: the weight times the size of what enters it.", WANDA),
    Term("weight", "One of the numbers that a network has learnt. What enters is multiplied by it."),
)


def term(word: str) -> Term:
    """Return a word of the glossary.

    Raises
    ------
    PrunekitError
        If it has no such word.
    """
    for found in TERMS:
        if found.word == word:
            return found
    raise PrunekitError(f"the glossary has no word {word!r}")
