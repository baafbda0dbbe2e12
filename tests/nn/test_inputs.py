import torch

from counterpoint.graph.ops import Csr
from counterpoint.graph.store import GraphMeta, TypeMeta
from counterpoint.graph.views import TypeInput, View
from counterpoint.nn.inputs import (
    EMBEDDING_STD,
    Categories,
    InputLayer,
    TypeFields,
    TypeProjection,
    field_count,
    small_embedding,
)

WIDTH = 3
DENSE = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
CODES = torch.tensor([[0, 1], [2, 0], [1, 1], [0, 0]])
WORDS = [[0, 3], [], [4], [1, 2, 3]]
# bags a.b and a_b are two: names may hold a dot
META = TypeMeta(name="items", count=4, dense=2, vocabularies=(3, 2), bags={"a.b": 5, "a_b": 5})


def bag(words: list[list[int]]) -> Csr:
    lengths = torch.tensor([0, *map(len, words)])
    return Csr(lengths.cumsum(0), torch.tensor([w for row in words for w in row]), 5)


def inputs() -> TypeInput:
    bags = {"a.b": bag(WORDS), "a_b": bag(WORDS[::-1])}
    return TypeInput(torch.arange(4), DENSE, CODES, bags)


def test_projection_is_the_sum_of_what_each_feature_gives():
    projection = TypeProjection(META, WIDTH)
    weight = {name: p.detach() for name, p in projection.named_parameters()}
    rows = []
    for n in range(4):
        row = weight["dense.weight"] @ DENSE[n] + weight["dense.bias"]
        row = row + weight["codes.weight"][CODES[n, 0]] + weight["codes.weight"][3 + CODES[n, 1]]
        for name, words in (("[a:b]", WORDS[n]), ("[a_b]", WORDS[3 - n])):
            if words:
                row = row + weight[f"bags.{name}.weight"][words].mean(0)
        rows.append(row)
    torch.testing.assert_close(projection(inputs()), torch.stack(rows))
    assert "ids.weight" not in weight


def test_rows_of_the_inputs_give_rows_of_the_projection():
    projection, rows = TypeProjection(META, WIDTH), torch.tensor([3, 0, 0])
    torch.testing.assert_close(projection(inputs().at(rows)), projection(inputs())[rows])
    assert projection(inputs().at(rows[:0])).shape == (0, WIDTH)


def test_without_features_a_node_has_a_small_embedding_of_its_own():
    projection = TypeProjection(TypeMeta(name="user", count=2000), WIDTH)
    ids = torch.tensor([5, 1999, 5])
    h = projection(TypeInput(ids, None, None, {}))
    assert torch.equal(h, projection.ids.weight[ids])
    assert abs(projection.ids.weight.std() / EMBEDDING_STD - 1) < 0.1


def test_fields_stand_side_by_side():
    meta = META.model_copy(update={"dense_widths": (1, 1)})
    fields = TypeFields(meta, WIDTH, count=8)
    weight = {name: p.detach() for name, p in fields.named_parameters()}
    torch.nn.init.normal_(fields.dense.bias)
    found = fields(inputs()).view(4, 8, WIDTH)
    for n in range(4):
        for k in range(2):
            bias = weight["dense.bias"][k * WIDTH : (k + 1) * WIDTH]
            number = DENSE[n, k] * weight[f"dense.weights.{k}"][0] + bias
            torch.testing.assert_close(found[n, k], number)
            assert torch.equal(found[n, 2 + k], weight["codes.weight"][3 * k + CODES[n, k]])
        for place, (name, words) in enumerate((("[a:b]", WORDS[n]), ("[a_b]", WORDS[3 - n]))):
            table = weight[f"bags.{name}.weight"]
            expected = table[words].mean(0) if words else torch.zeros(WIDTH)
            torch.testing.assert_close(found[n, 4 + place], expected)
    assert not found[:, 6:].any()


def test_a_vector_is_one_field_and_ids_are_one():
    assert field_count(META) == 5
    assert field_count(META.model_copy(update={"dense_widths": (1, 1)})) == 6
    assert field_count(TypeMeta(name="user", count=3)) == 1
    fields = TypeFields(META, WIDTH, count=5)
    expected = DENSE @ fields.dense.weights[0]
    torch.testing.assert_close(fields(inputs())[:, :WIDTH], expected)


def test_features_begin_as_tables_of_their_own_would():
    torch.manual_seed(0)
    categories = Categories((30, 7, 2), 5)
    torch.manual_seed(0)
    tables = [small_embedding(size, 5).weight for size in (30, 7, 2)]
    assert torch.equal(categories.weight, torch.cat(tables))
    assert list(categories.state_dict()) == ["weight"]
    codes = torch.tensor([[29, 0, 1], [0, 6, 1]])
    expected = [[tables[k][code] for k, code in enumerate(row)] for row in codes.tolist()]
    assert torch.equal(categories(codes), torch.stack([torch.stack(row) for row in expected]))


def test_fields_begin_at_one_scale():
    meta = TypeMeta(name="t", count=2, dense=401, dense_widths=(1, 400), vocabularies=(500,))
    fields = TypeFields(meta, 64, count=3)
    rows = torch.randn(500, 401, generator=torch.Generator().manual_seed(1))
    codes = torch.arange(500)[:, None]
    found = fields(TypeInput(torch.arange(500), rows, codes, {})).view(500, 3, 64)
    for k in range(3):
        assert abs(found[:, k].std() / EMBEDDING_STD - 1) < 0.25


def test_types_are_put_into_the_order_of_the_view():
    user = TypeMeta(name="user", count=2)
    meta = GraphMeta(
        name="g",
        node_types=(user, META),
        relations=(),
        tasks={},
        cross_task="drop",
        candidates="all",
    )
    layer = InputLayer(meta, WIDTH)
    by_type = {"user": TypeInput(torch.arange(2), None, None, {}), "items": inputs()}
    in_turn = torch.cat([layer.types[name](values) for name, values in by_type.items()])
    node_type = torch.tensor([0, 0, 1, 1, 1, 1])
    assert torch.equal(layer(View(by_type, None, node_type, ())), in_turn)
    order = torch.tensor([4, 0, 3, 5, 1, 2])
    assert torch.equal(layer(View(by_type, order, node_type[order], ())), in_turn[order])
