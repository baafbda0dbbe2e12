"""The market's relations, and which of them matters to which task."""

import numpy as np

from counterpoint.data.planted.hidden_graph import PlantedRelation
from counterpoint.data.planted.importance import Importance, at_cosine

# the source is the end of the pair that the relation's signal belongs to
RELATIONS = {
    "follows": PlantedRelation("user", "shop", 3),
    "likes": PlantedRelation("user", "brand", 3),
    "knows": PlantedRelation("user", "user", 3, by_popularity=False),
    "sold_by": PlantedRelation("item", "shop"),
    "of_brand": PlantedRelation("item", "brand"),
    "bundled_with": PlantedRelation("item", "item", 3),
}

# Three orthonormal directions in the space of relations (columns as in RELATIONS).
_BY_SHOP = np.array([1, 0, 0, 1, 0, 0]) / np.sqrt(2)
_BY_BRAND = np.array([0, 1, 0, 0, 1, 0]) / np.sqrt(2)
_BY_COMPANY = np.array([0, 0, 1, 0, 0, 1]) / np.sqrt(2)


def relation_importance(relatedness: float, kinship: float) -> Importance:
    """Unit vectors of the tasks, by relation.

    cos(click, complaint) is ``relatedness``, cos(click, conversion) is ``kinship``, and
    cos(conversion, complaint) is their product.
    """
    vectors = {
        "click": _BY_SHOP,
        "conversion": at_cosine(_BY_SHOP, _BY_COMPANY, kinship),
        "complaint": at_cosine(_BY_SHOP, _BY_BRAND, relatedness),
    }
    return {task: dict(zip(RELATIONS, v.tolist(), strict=True)) for task, v in vectors.items()}
