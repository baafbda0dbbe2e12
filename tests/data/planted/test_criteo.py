import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import chi2, kstest, norm
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from counterpoint.data.planted import planted_preset
from counterpoint.data.planted.criteo import (
    BOUND,
    DEVIATION,
    MEAN,
    click_confidence,
    criteo_schema,
    field_values,
    network_output,
    positive_probability,
    second_confidence,
)
from counterpoint.data.schema import FeatureKind, read_schema
from counterpoint.data.splits import assigned_rows
from counterpoint.files import read_json

SECOND = {"criteo_r": "related", "criteo_ur": "unrelated"}
PUBLISHED = {"criteo_r": (0.9877, 0.004), "criteo_ur": (0.5288, 0.02)}
ROWS = 20_000


def confidences(config):
    c = click_confidence(network_output(config, field_values(config)))
    return c, second_confidence(config, c)


def truth(made):
    return read_json(made.folder.path / "truth" / "truth.json")


@pytest.fixture(params=SECOND)
def preset(request):
    return request.param


@pytest.fixture
def made(plant, preset):
    return plant(planted_preset(preset, rows=ROWS, seed=3))


def test_a_table_of_categorical_fields_and_two_tasks_is_written(made, preset):
    schema = read_schema(made.folder.path)
    assert schema == criteo_schema(made.config)
    assert not schema.relations
    assert list(schema.targets) == ["click", SECOND[preset]]
    (impression,) = schema.node_types.values()
    assert {feature.kind for feature in impression.features} == {FeatureKind.CATEGORICAL}
    nodes = made.folder.scan("nodes/impression").collect()
    assert nodes.shape == (ROWS, 17)
    assert np.array_equal(nodes.drop("id").to_numpy(), field_values(made.config))
    for task in schema.tasks:
        assert made.rows(task)["id"].to_list() == list(range(ROWS))


@pytest.mark.parametrize("dials", [{}, {"seed": 1}, {"fields": 4}, {"skew": 0}, {"rows": 5_000}])
def test_confidences_correlate_as_published(plant, preset, dials):
    config = planted_preset(preset, **{"rows": ROWS, **dials})
    value, tolerance = PUBLISHED[preset]
    found = np.corrcoef(confidences(config))[0, 1]
    assert found == pytest.approx(value, abs=tolerance)
    assert truth(plant(config))["correlation"]["confidences"] == pytest.approx(found, abs=1e-12)


def test_the_related_confidence_as_printed_correlates_less():
    c, _ = confidences(planted_preset("criteo_r", rows=ROWS))
    printed = np.sign(c) * 2 * np.log1p(abs(c)) + 0.1 * np.exp(abs(c))
    assert np.corrcoef(c, printed)[0, 1] < 0.75


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_probabilities_are_of_the_two_formulas(plant, preset, temperature):
    made = plant(planted_preset(preset, rows=ROWS, temperature=temperature))
    c, second = (
        logit(made.rows(task)["bayes"].to_numpy().astype(float)) * temperature
        for task in made.folder.schema.tasks
    )
    size = abs(c)
    if preset == "criteo_ur":
        expected = np.sign(c) * (2 * np.sin(size) + 0.1 * np.cos(size))
        np.testing.assert_allclose(second, expected, atol=1e-2)
    else:
        some = size < 3  # float32 holds their probabilities well
        noise = (second - np.sign(c) * (2 * np.log(size + 1) + 0.1 * np.exp(size)))[some]
        assert noise.std() == pytest.approx(0.1, abs=0.005)
        assert abs(noise.mean()) < 0.005
        assert abs(np.corrcoef(noise, c[some])[0, 1]) < 0.03


@pytest.mark.parametrize("fields", [4, 16])
def test_the_confidence_of_a_click_is_a_clipped_normal_whatever_the_network(fields):
    c, _ = confidences(planted_preset("criteo_r", rows=ROWS, fields=fields))
    assert (c.min(), c.max()) == (-BOUND, BOUND)
    inside = c[abs(c) < BOUND]
    low, high = norm.cdf([-BOUND, BOUND], MEAN, DEVIATION)
    of_normal = kstest(inside, lambda x: (norm.cdf(x, MEAN, DEVIATION) - low) / (high - low))
    assert of_normal.statistic < 0.01


def test_rescaling_keeps_the_order_and_equal_outputs_equal():
    output = np.array([3.0, -1.0, 3.0, 100.0, -1.0, 2.0])
    c = click_confidence(output)
    assert c[0] == c[2]
    assert c[1] == c[4]
    assert c[1] < c[5] < c[0] < c[3]


def test_impressions_with_equal_fields_have_one_confidence():
    values = field_values(config := planted_preset("criteo_r", rows=1_000, fields=4))
    twice = np.concatenate([values, values[::-1]])
    c = click_confidence(network_output(config, twice))
    assert np.array_equal(c[:1_000], c[:999:-1])


def test_the_network_is_two_layers_and_no_sum_over_fields():
    config = planted_preset("criteo_r", fields=4)
    base = np.zeros((1, 4), np.int64)
    for j in range(4):
        for k in range(j):
            corners = np.repeat(base, 4, axis=0)
            corners[[1, 3], j] = 1
            corners[[2, 3], k] = 1
            alone, one, other, both = network_output(config, corners)
            assert abs(one - alone) > 0.1
            assert abs(both - one - other + alone) > 0.1  # nil, were the fields' parts added up


def test_most_of_a_confidence_is_a_sum_over_fields_but_not_all():
    config = planted_preset("criteo_r", rows=ROWS, fields=4)
    values, (c, _) = field_values(config), confidences(config)
    one_hot = OneHotEncoder().fit_transform(values)
    explained = LinearRegression().fit(one_hot, c).score(one_hot, c)
    assert 0.6 < explained < 0.9
    for k in range(config.fields):
        rest = OneHotEncoder().fit_transform(np.delete(values, k, axis=1))
        assert LinearRegression().fit(rest, c).score(rest, c) < explained - 0.05


def test_fields_have_ten_to_a_thousand_values_of_skewed_frequency(made):
    assert made.config.field_sizes[0] == 10
    assert made.config.field_sizes[-1] == 1000
    values = field_values(made.config)
    for size, column in zip(made.config.field_sizes, values.T, strict=True):
        shares = np.sort(np.bincount(column, minlength=size))[::-1] / ROWS
        assert len(shares) == size
        ranks = np.arange(1, size + 1) ** -made.config.skew
        np.testing.assert_allclose(shares[:3], (ranks / ranks.sum())[:3], rtol=0.15)
    together = np.corrcoef(values[:, :4].T) - np.eye(4)
    assert abs(together).max() < 0.03


def test_labels_are_bernoulli_draws_of_the_bayes_probability(made):
    for task in made.folder.schema.tasks:
        rows = made.rows(task).sort("bayes")
        label, bayes = rows["label"].to_numpy(), rows["bayes"].to_numpy().astype(float)
        bins = np.array_split(np.arange(ROWS), 20)
        statistic = sum(
            (label[b].sum() - bayes[b].sum()) ** 2 / (bayes[b] * (1 - bayes[b])).sum() for b in bins
        )
        assert 0.001 < chi2.sf(statistic, len(bins)) < 0.999


def test_the_truth_states_rates_scores_and_the_labels_phi(made):
    stated = truth(made)
    labels = {}
    for task in made.folder.schema.tasks:
        rows = made.rows(task)
        label, bayes = rows["label"].to_numpy(), rows["bayes"].to_numpy()
        labels[task] = label
        noise = np.sqrt(bayes.mean() * (1 - bayes.mean()) / ROWS)
        assert abs(label.mean() - stated["rate"][task]["expected"]) < 3 * noise
        assert stated["rate"][task]["achieved"] == pytest.approx(label.mean())
        assert stated["bayes"][task]["auc"] == pytest.approx(roc_auc_score(label, bayes))
        assert stated["bayes"][task]["logloss"] == pytest.approx(log_loss(label, bayes), rel=1e-5)
    both, one, other = (np.mean(x) for x in (np.prod(list(labels.values()), 0), *labels.values()))
    phi = (both - one * other) / np.sqrt(one * (1 - one) * other * (1 - other))
    assert stated["correlation"]["labels"] == pytest.approx(phi)
    assert stated["rate"]["click"]["expected"] == pytest.approx(0.370, abs=0.002)


def test_phi_of_drawn_labels_is_far_below_the_correlation_of_confidences(plant):
    found = truth(plant(planted_preset("criteo_r", rows=ROWS)))["correlation"]
    assert found["labels"] == pytest.approx(0.354, abs=0.03)
    assert found["confidences"] > 0.98


@pytest.mark.parametrize(("name", "phi"), [("criteo_r", 0.99), ("criteo_ur", 0.86)])
def test_at_temperature_zero_labels_are_signs_and_nearly_equal(plant, name, phi):
    made = plant(planted_preset(name, rows=ROWS, temperature=0))
    c, second = confidences(made.config)
    for task, confidence in (("click", c), (SECOND[name], second)):
        rows = made.rows(task)
        assert np.array_equal(rows["label"], confidence > 0)
        assert np.array_equal(rows["bayes"], rows["label"])
        assert truth(made)["bayes"][task]["auc"] == 1
    assert truth(made)["correlation"]["labels"] == pytest.approx(phi, abs=0.02)


def test_a_low_temperature_tends_to_the_signs():
    c = np.array([-2.0, -0.1, 0.1, 2.0])
    nearly = positive_probability(c, 0.001)
    np.testing.assert_allclose(nearly, positive_probability(c, 0), atol=1e-6)


def test_both_presets_share_impressions_and_clicks(plant, tmp_path):
    made = plant(planted_preset("criteo_r", rows=1_000))
    clicks, fields = made.rows("click"), made.folder.scan("nodes/impression").collect()
    other = plant(planted_preset("criteo_ur", rows=1_000))
    assert other.folder.scan("nodes/impression").collect().equals(fields)
    assert other.rows("click").equals(clicks)


def test_the_split_is_uniform(made):
    rows = assigned_rows(made.folder, "click").collect()
    shares = dict(rows["split"].value_counts(normalize=True).iter_rows())
    assert shares == pytest.approx({"train": 0.7, "valid": 0.1, "test": 0.2}, abs=0.01)
