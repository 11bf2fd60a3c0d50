"""What a graph grader is made of, as a value: the patent's parts can each be switched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Similarity = Literal["cosine", "gaussian"]
Fusion = Literal["attention", "mean", "gated", "branches"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphConfig:
    """Shape of the network.

    Attributes
    ----------
    widths : mapping of modality to int
        Columns of each; any number of modalities of any width.
    hidden : int
        Width h of every representation.
    projection : int
        Width d_2 of equation 1, in which nodules are compared.
    similarity : str
        ``cosine`` is equation 2; ``gaussian`` is exp(-d^2 / 2) of the same projections.
    threshold : float
        Theta of equation 3.
    neighbours : int
        At most so many edges per node and modality, the most similar.
    extraction_layers, classifier_layers : int
        Of equation 4, and of the classifier.
    heads : int
        Of the classifier's attention.
    edges : bool
        Without them every node stands alone.
    fusion : str
        ``attention`` is equations 5 to 8; ``mean`` weighs the present modalities equally;
        ``gated`` lets each modality's gate depend on all (cross-modal gate); ``branches`` adds a
        head for each modality to the attention.
    vote : float
        Share of the answer that neighbours vote directly, each by the weight of its edge; the
        rest is the network's. Without it a bank hardly moves a grade.
    bank_labels : bool
        Whether messages of typical cases tell their rating.
    wide : bool
        A linear way from the features to the answer, beside the graph.
    dropout : float
        Of hidden values.
    region_gate : sequence of str
        Modalities that become one input before the network (`inference.grading.region_gate`);
        those that a table has, if at least two. The linear way (`wide`) goes round it.
    """

    widths: Mapping[str, int]
    hidden: int = 48
    projection: int = 24
    similarity: Similarity = "cosine"
    threshold: float = 0.3
    neighbours: int = 10
    extraction_layers: int = 1
    classifier_layers: int = 2
    heads: int = 4
    edges: bool = True
    fusion: Fusion = "attention"
    vote: float = 0.0
    bank_labels: bool = True
    wide: bool = True
    dropout: float = 0.3
    region_gate: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises
        ------
        ValueError
            Naming the setting.
        """
        if not self.widths:
            raise ValueError("a grader needs at least one modality")
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is no multiple of heads {self.heads}")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold {self.threshold} is not in [0, 1)")
        if not 0 <= self.vote < 1:
            raise ValueError(f"vote {self.vote} is not in [0, 1)")
        if self.region_gate and len(set(self.region_gate)) < 2:
            raise ValueError(f"region_gate {list(self.region_gate)} names no two modalities")
        if self.neighbours < 1 or self.classifier_layers < 1 or self.extraction_layers < 1:
            raise ValueError("neighbours and layers must be at least 1")

    @property
    def modalities(self) -> tuple[str, ...]:
        """In the order of `widths`."""
        return tuple(self.widths)

    @property
    def gated(self) -> tuple[str, ...]:
        """Those of `region_gate` that there are; empty if fewer than two."""
        found = tuple(name for name in self.widths if name in self.region_gate)
        return found if len(found) > 1 else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How a graph grader learns.

    Attributes
    ----------
    steps : int
        Of the optimiser.
    nodes : int
        Of the sub-graph of a step.
    learning_rate, weight_decay : float
        Of AdamW.
    modality_dropout : float
        Share of modalities that a row loses in a step; one always stays.
    views : int
        E of equations 11 and 12, per step; 0 is neither loss. With one view its pair in
        equation 12 is the graph as it is.
    view_every : int
        Views are made at every so many steps only; they cost as much as the step itself.
    semantic_weight, contrastive_weight, reconstruction_weight : float
        alpha_2 and alpha_3 of equation 9, and the weight of masked reconstruction.
    ordinal_weight, regression_weight : float
        Of the earth mover's distance to the soft grade, and of the rating's likelihood.
    consistency_weight : float
        Of the L1 distance between a branch and the whole (``branches``).
    branch_weight : float
        Of the branches' own losses (``branches``).
    alignment_weight : float
        Of InfoNCE between modalities of a row (``gated``).
    missing_weight : float
        Of the missing-modality criterion: each step also answers with one modality, drawn anew,
        taken away from all queries; 0 is none.
    weight_network : float
        Kappa: how far a row's weight may go from 1 (equation 10); 0 is none.
    label_softness : float
        Width of the soft grade, in ratings.
    typical_cases : bool
        Whether views by typical cases are among the views.
    members : int
        Networks whose probabilities are averaged.
    bank_size : int
        Typical cases at most.
    """

    steps: int = 250
    nodes: int = 192
    learning_rate: float = 2e-3
    weight_decay: float = 2e-3
    modality_dropout: float = 0.15
    views: int = 1
    view_every: int = 5
    semantic_weight: float = 0.5
    contrastive_weight: float = 0.05
    reconstruction_weight: float = 0.15
    ordinal_weight: float = 0.3
    regression_weight: float = 1.0
    consistency_weight: float = 0.2
    branch_weight: float = 0.2
    alignment_weight: float = 0.05
    weight_network: float = 0.0
    missing_weight: float = 0.0
    label_softness: float = 0.25
    typical_cases: bool = True
    members: int = 2
    bank_size: int = 1200
