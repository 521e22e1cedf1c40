"""The field's words in plain ones, and the papers behind them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from prunekit.errors import PrunekitError
from prunekit.lessons import papers
from prunekit.lessons.papers import Paper


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
        papers.GRADUAL,
    ),
    Term("batch", "How many images go through the network at a time."),
    Term(
        "BatchNorm",
        "A layer that brings each channel to the same scale, with a mean and a variance that it has seen in training.",
        papers.BATCH_NORM,
    ),
    Term(
        "BatchNorm scale",
        "A criterion for channels: the factor that BatchNorm gives a channel. A small factor mutes the channel.",
        papers.SLIMMING,
    ),
    Term("channel", "What one filter makes: one picture among those that a layer hands to the next one."),
    Term("compression ratio", "Size before by size after: 5 means that a fifth is left.", papers.STATE),
    Term(
        "coupling", "Layers that have to shrink together, because the channels of one enter the other or are added to it.", papers.DEPGRAPH
    ),
    Term("criterion", "The rule that says which weights or channels count least and go first.", papers.BRAIN_DAMAGE),
    Term("distillation", "Training a small network on the answers of a larger one, not only on the labels.", papers.DISTILLATION),
    Term("epoch", "One pass over all training images."),
    Term("ERK", "Erdos-Renyi kernel: shares of sparsity by the shapes of the layers, so that small layers keep more.", papers.RIGL),
    Term("filter", "The weights of one output of a convolution. It slides over the picture and looks for one pattern."),
    Term("fine-tuning", "Training a pruned network a little more, so that what is left makes up for what is gone.", papers.REWINDING),
    Term("FPGM", "A criterion for channels: those most like all others go, because the others can stand in for them.", papers.FPGM),
    Term("global scope", "All layers are ranked together, so that some give much and others little. The opposite is uniform scope."),
    Term("histogram", "Bars that show how many weights have which size."),
    Term("interval", "The range in which the true accuracy lies with 95 % confidence. Few images make it wide.", papers.WILSON),
    Term("iterative pruning", "Cutting and training in turns, a part each time, instead of one large cut.", papers.HAN),
    Term(
        "LAMP",
        "A criterion for single weights that makes layers comparable: each weight against the larger ones of its layer.",
        papers.LAMP,
    ),
    Term("latency", "How long the network takes for one batch, measured on a machine and true for that machine."),
    Term("layer", "One step of a network: it takes numbers in, multiplies them by its weights, and hands the sums on."),
    Term(
        "lottery ticket",
        "A small part of a fresh network that, trained alone from its first weights, does as well as the whole.",
        papers.LOTTERY,
    ),
    Term("MACs", "Multiply-accumulates: how many multiplications with an addition one image takes. A measure of work, not of time."),
    Term("magnitude", "The size of a weight without its sign. Magnitude pruning removes the smallest first.", papers.HAN),
    Term("mask", "A yes or no for each weight. Where it says no, the weight is set to zero; the shape stays."),
    Term(
        "N:M sparsity", "Of every M weights in a row N may stay, as in 2:4. Some graphics cards run this pattern faster.", papers.TWO_FOUR
    ),
    Term("one-shot", "One cut to the final sparsity, instead of several small ones.", papers.HAN),
    Term("proof", "A check after surgery: the smaller network must give what the original gives with the same channels set to zero."),
    Term("recalibration", "Measuring BatchNorm's means and variances again after pruning. No weight changes.", papers.EAGLE_EYE),
    Term("sensitivity", "How much accuracy falls when only one layer is pruned.", papers.HAN),
    Term(
        "significant",
        "More than chance explains. p is how often equal networks would come out so different; less than once in twenty times counts.",
        papers.MCNEMAR,
    ),
    Term("SNIP", "A criterion for single weights: how much the loss would change without the connection, by the gradient.", papers.SNIP),
    Term("sparse accelerator", "A chip that skips multiplications by zero, so that zeros save time and not only space.", papers.TWO_FOUR),
    Term(
        "sparse format",
        "A way to store only what is not zero, and where it stands: a bitmap has a bit for each place, CSR the column of each number.",
        papers.DEEP_COMPRESSION,
    ),
    Term(
        "sparsity",
        "The share that is removed: at 70 % three of ten weights are left. Density is the share that stays.",
        papers.STATE_OF_SPARSITY,
    ),
    Term("structured pruning", "Removing whole filters, channels or neurons, so that a smaller network is left.", papers.FILTERS),
    Term("surgery", "Cutting channels out for good: the tensors get smaller, in the layer itself and in those behind it.", papers.DEPGRAPH),
    Term("Taylor", "A criterion by the gradient: how much the loss would change without the weight or channel.", papers.TAYLOR),
    Term("test images", "Images that had no say in any choice. They are looked at last, to confirm."),
    Term("uniform scope", "Every layer gives the same share. The opposite is global scope."),
    Term(
        "unstructured pruning", "Removing single weights, wherever they stand. The shape stays, and zeros stand in their place.", papers.HAN
    ),
    Term("validation images", "Images that the network was not trained on and by which choices are made."),
    Term("Wanda", "A criterion for single weights: the weight times the size of what enters it.", papers.WANDA),
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
