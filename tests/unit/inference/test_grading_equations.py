"""Each equation of the patent on a graph small enough to work out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from inference.grading.extraction import ExtractionLayer, ModalityExtraction, neighbour_mean
from inference.grading.fusion import (
    AttentionFusion,
    GatedFusion,
    MeanFusion,
    fuse_adjacency,
    fuse_states,
    strongest,
)
from inference.grading.network import tell_ratings, to_probabilities
from inference.training.grading.losses import (
    alignment,
    contrastive,
    masked_reconstruction,
    rating_likelihood,
    semantic_constraint,
    soft_cross_entropy,
    wasserstein_1,
)
from inference.training.grading.weight_network import WeightNetwork


def extraction(**options: object) -> ModalityExtraction:
    settings: dict[str, object] = {"hidden": 2, "projection": 2, "layers": 1, **options}
    made = ModalityExtraction(2, **settings)  # type: ignore[arg-type]
    with torch.no_grad():
        made.first.weight.copy_(torch.eye(2))
        made.first.bias.copy_(torch.tensor([0.0, 1.0]))
        made.second.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    return made


def test_equation_1_projects_through_two_weights_and_a_nonlinearity() -> None:
    made = extraction(similarity="gaussian")
    projected = made.project(torch.tensor([[3.0, 1.0], [-1.0, -1.0]]))

    # sigma is ELU: 3 -> 3; 1 + 1 -> 2; -1 -> 1/e - 1; -1 + 1 -> 0. Then times 1 and 2.
    assert torch.allclose(projected, torch.tensor([[3.0, 4.0], [1 / math.e - 1, 0.0]]))


def test_equation_2_is_the_cosine_of_two_projections() -> None:
    made = extraction()
    # Projected by equation 1 these are (1, 2), (2, 2) and (2, 4): ELU adds nothing above 0.
    query = made.project(torch.tensor([[1.0, 0.0]]))
    cases = made.project(torch.tensor([[2.0, 0.0], [2.0, 1.0]]))

    similar = made.similarities(query, cases)

    # (1 * 2 + 2 * 2) / (sqrt 5 * sqrt 8), and the same direction.
    assert torch.allclose(similar, torch.tensor([[6 / 40**0.5, 1.0]]), atol=1e-6)


def test_gaussian_similarity_falls_with_the_distance() -> None:
    similar = extraction(similarity="gaussian").similarities(
        torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    )

    assert torch.allclose(similar, torch.tensor([[1.0, math.exp(-12.5)]]), atol=1e-6)


def test_equation_3_keeps_what_is_above_the_threshold() -> None:
    similarity = torch.tensor([[0.9, 0.3, 0.31, -0.5]])

    adjacency = extraction(threshold=0.3).adjacency(similarity, torch.ones(1, 4, dtype=torch.bool))

    assert torch.allclose(adjacency, torch.tensor([[0.9, 0.0, 0.31, 0.0]]))


def test_edges_are_at_most_the_neighbours_asked_for_and_only_allowed_ones() -> None:
    similarity = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
    allowed = torch.tensor([[False, True, True, True]])

    adjacency = extraction(neighbours=2).adjacency(similarity, allowed)

    assert torch.allclose(adjacency, torch.tensor([[0.0, 0.8, 0.7, 0.0]]))


def test_equation_4_adds_the_weighted_mean_of_the_neighbours() -> None:
    layer = ExtractionLayer(2, 2)
    with torch.no_grad():
        layer.own.weight.copy_(torch.eye(2))
        layer.own.bias.zero_()
        layer.neighbour.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        layer.mu_1.fill_(2.0)
        layer.mu_2.fill_(0.5)
    cases = torch.tensor([[4.0, 0.0], [0.0, 8.0]])
    adjacency = torch.tensor([[0.75, 0.25], [0.0, 0.0]])

    state = layer.of_queries(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), cases, adjacency)

    # Mean (3, 2), swapped by W_n (2, 3); 2 * 1 + 0.5 * 2 = 3 and 2 * 1 + 0.5 * 3 = 3.5.
    # Without edges 2 * 1.
    assert torch.allclose(state, torch.tensor([[3.0, 3.5], [2.0, 2.0]]))


def test_the_degree_of_equation_4_is_the_sum_of_a_row() -> None:
    mean = neighbour_mean(torch.tensor([[0.5, 0.3]]), torch.tensor([[1.0], [0.0]]))

    assert float(mean) == pytest.approx(0.625)


def test_equations_5_and_6_are_a_softmax_over_the_modalities_present() -> None:
    fusion = AttentionFusion(2)
    with torch.no_grad():
        fusion.transform.weight.copy_(torch.eye(2))
        fusion.transform.bias.zero_()
        fusion.query.copy_(torch.tensor([1.0, 2.0]))
    states = torch.tensor([[[0.0, 0.0], [math.log(3.0), 0.0], [9.0, 9.0]]])

    attention = fusion(states, torch.tensor([[True, True, False]]))

    # omega = 0.5 + 2 * 0.5 = 1.5 and 0.75 + 1 = 1.75.
    second = math.exp(1.75) / (math.exp(1.5) + math.exp(1.75))
    assert torch.allclose(attention, torch.tensor([[1 - second, second, 0.0]]))


def test_equation_7_is_the_attention_weighted_sum_of_states() -> None:
    fused = fuse_states(torch.tensor([[[1.0, 2.0], [3.0, 6.0]]]), torch.tensor([[0.25, 0.75]]))

    assert torch.allclose(fused, torch.tensor([[2.5, 5.0]]))


def test_equation_8_weighs_each_row_by_its_own_attention() -> None:
    one = torch.tensor([[0.8, 0.0], [0.8, 0.0]])
    two = torch.tensor([[0.4, 0.6], [0.0, 1.0]])
    attention = torch.tensor([[0.5, 0.5], [1.0, 0.0]])

    fused = fuse_adjacency([one, two], attention)

    assert torch.allclose(fused, torch.tensor([[0.6, 0.3], [0.8, 0.0]]))


def test_the_strongest_edges_of_a_row_stay() -> None:
    kept = strongest(torch.tensor([[0.1, 0.5, 0.3], [0.0, 0.0, 0.2]]), 2)

    assert torch.allclose(kept, torch.tensor([[0.0, 0.5, 0.3], [0.0, 0.0, 0.2]]))


@pytest.mark.parametrize("fusion", [MeanFusion(), GatedFusion(4, 2), AttentionFusion(4)])
def test_an_absent_modality_has_no_weight_and_changes_nothing(fusion: torch.nn.Module) -> None:
    torch.manual_seed(0)
    states = torch.randn(3, 3, 4)
    present = torch.tensor([[True, True, False]]).expand(3, 3)
    other = states.clone()
    other[:, 2] = 100.0

    first, second = fusion(states, present), fusion(other, present)

    assert torch.allclose(first, second, atol=1e-6)
    assert torch.allclose(first.sum(dim=1), torch.ones(3))
    assert float(first[:, 2].detach().abs().max()) == 0


def test_a_rating_distribution_is_cut_at_the_limits_of_the_grades() -> None:
    logits = torch.tensor([[0.0, 50.0, 0.0, 0.0]])
    rating = torch.tensor([[0.0, -20.0]])  # mean 3, deviation 0.15

    probabilities, mean, deviation = to_probabilities(logits, rating)

    # Softmax says grade II; the normal distribution is half below 3, half above.
    assert torch.allclose(probabilities, torch.tensor([[0.0, 0.75, 0.25, 0.0]]), atol=1e-4)
    assert float(mean) == 3
    assert float(deviation) == pytest.approx(0.15, abs=1e-4)


def test_soft_grades_sum_to_one_and_follow_the_rating() -> None:
    soft, told = tell_ratings(torch.tensor([1.0, 2.5, 5.0]), 0.2)

    assert torch.allclose(soft.sum(dim=1), torch.ones(3), atol=1e-6)
    assert soft.argmax(dim=1).tolist() == [0, 1, 3]
    assert torch.allclose(told[:, 4], torch.tensor([-2.0, -0.5, 2.0]))


def test_equation_10_is_a_weighted_cross_entropy() -> None:
    probabilities = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    soft = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]])

    losses = soft_cross_entropy(probabilities, soft)

    assert torch.allclose(losses, torch.tensor([math.log(2), math.log(4)]))


def test_the_weight_network_learns_to_raise_the_loss_within_its_bounds() -> None:
    torch.manual_seed(0)
    weigh = WeightNetwork(4, kappa=0.3)
    losses = torch.tensor([0.1, 0.2, 2.0, 3.0])
    soft = torch.eye(4)
    ascent = torch.optim.AdamW(weigh.parameters(), lr=0.02, maximize=True)
    before = float((weigh(losses, soft) * losses).mean().detach())

    for _ in range(60):
        ascent.zero_grad()
        (weigh(losses, soft) * losses).mean().backward()
        ascent.step()

    weights = weigh(losses, soft).detach()
    assert float((weights * losses).mean()) > before
    assert float(weights.mean()) == pytest.approx(1, abs=1e-6)
    assert float(weights.max() / weights.min()) <= 1.3 / 0.7 + 1e-6
    assert weights[3] > weights[0]


def test_equation_11_is_the_mean_earth_movers_distance_of_the_views() -> None:
    original = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    near = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    far = torch.tensor([[0.0, 0.0, 0.0, 1.0]])

    assert float(wasserstein_1(original, far)) == 3
    assert float(semantic_constraint([near, far], original)) == 2


def test_equation_12_is_nt_xent_between_views() -> None:
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    second = torch.tensor([[2.0, 0.0], [0.0, 3.0]])

    # Every node has cosine 1 with itself in the other view and 0 with the other node.
    wanted = -math.log(math.exp(2) / (math.exp(2) + 1))
    assert float(contrastive([first, second], temperature=0.5)) == pytest.approx(wanted, abs=1e-6)


def test_alignment_pairs_only_rows_that_have_both_modalities() -> None:
    states = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]], [[1.0, 1.0]] * 2])
    present = torch.tensor([[True, True], [True, True], [True, False]])

    wanted = -math.log(math.exp(2) / (math.exp(2) + 1))
    assert float(alignment(states, present)) == pytest.approx(wanted, abs=1e-6)


def test_reconstruction_looks_only_at_hidden_values() -> None:
    guess, truth = torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, 0.0]])

    assert float(masked_reconstruction(guess, truth, torch.tensor([[True, False]]))) == 4


def test_the_likelihood_of_a_rating_is_the_normal_one() -> None:
    value = rating_likelihood(torch.tensor([3.0]), torch.tensor([2.0]), torch.tensor([5.0]))

    assert float(value) == pytest.approx(0.5 + math.log(2))
