"""Which relation matters to which task: the planted truth that gates are compared with."""

import numpy as np
import numpy.typing as npt

# relation: (head, tail); the head is the end of the pair that the relation's signal belongs to
RELATIONS = {
    "follows": ("user", "shop"),
    "likes": ("user", "brand"),
    "knows": ("user", "user"),
    "sold_by": ("item", "shop"),
    "of_brand": ("item", "brand"),
    "bundled_with": ("item", "item"),
}

# Three orthonormal directions in the space of relations (columns as in RELATIONS).
_BY_SHOP = np.array([1, 0, 0, 1, 0, 0]) / np.sqrt(2)
_BY_BRAND = np.array([0, 1, 0, 0, 1, 0]) / np.sqrt(2)
_BY_COMPANY = np.array([0, 0, 1, 0, 0, 1]) / np.sqrt(2)


def relation_importance(relatedness: float, kinship: float) -> dict[str, npt.NDArray[np.float64]]:
    """Unit vectors ``w_t [relations]`` of the tasks.

    cos(click, complaint) is ``relatedness``, cos(click, conversion) is ``kinship``, and
    cos(conversion, complaint) is their product.
    """
    return {
        "click": _BY_SHOP,
        "conversion": kinship * _BY_SHOP + np.sqrt(1 - kinship**2) * _BY_COMPANY,
        "complaint": relatedness * _BY_SHOP + np.sqrt(1 - relatedness**2) * _BY_BRAND,
    }
