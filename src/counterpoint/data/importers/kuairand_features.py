"""What both layouts of KuaiRand know of a user, and how columns become a node type."""

from counterpoint.data.schema import Feature, FeatureKind, NodeType

USER_NUMERIC = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
USER_CATEGORICAL = (
    "user_active_degree",
    "is_lowactive_period",
    "is_live_streamer",
    "is_video_author",
    *(f"{name}_range" for name in USER_NUMERIC),
    *(f"onehot_feat{number}" for number in range(18)),
)


def node_type(numeric: tuple[str, ...], categorical: tuple[str, ...]) -> NodeType:
    """A node type with these columns as features."""
    features = [Feature(name=name, kind=FeatureKind.NUMERIC) for name in numeric]
    features += [Feature(name=name, kind=FeatureKind.CATEGORICAL) for name in categorical]
    return NodeType(features=tuple(features))
