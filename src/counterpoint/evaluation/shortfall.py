"""What a hold lacks: how many seeds, or how many test clusters, would decide it."""

from scipy.special import ndtri

from counterpoint.evaluation.difference import Difference

MOST_SEEDS = 1000


def seeds_needed(difference: Difference, bound: float, level: float) -> int | None:
    """Fewest seeds whose lower bound is above ``bound`` if the estimates stay; None above 1000."""
    for n_seeds in range(difference.n_seeds + 1, MOST_SEEDS + 1):
        if difference.model_copy(update={"n_seeds": n_seeds}).lower(level) > bound:
            return n_seeds
    return None


def shortfall(difference: Difference, bound: float, level: float, n_clusters: int) -> str:
    """One line on what would bring the lower bound above ``bound`` (METHODS E.6)."""
    room = difference.delta - bound
    if room <= 0:
        return "the estimate itself is not above the bound: no number of seeds or clusters"
    target = (room / -float(ndtri(level))) ** 2
    if difference.test_variance >= target:
        left = target - difference.seed_variance / difference.n_seeds
        if left > 0:
            needed = n_clusters * difference.test_variance / left
            return f"no number of seeds; about {needed:.0f} clusters (now {n_clusters})"
        needed = n_clusters * difference.test_variance / (target / 2)
        with_seeds = difference.seed_variance / (target / 2)
        return (
            f"no number of seeds; about {needed:.0f} clusters (now {n_clusters})"
            f" with about {with_seeds:.0f} seeds"
        )
    seeds = seeds_needed(difference, bound, level)
    if seeds is None:
        return f"more than {MOST_SEEDS} seeds"
    return f"{seeds} seeds (now {difference.n_seeds})"
