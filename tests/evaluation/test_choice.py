from counterpoint.evaluation.choice import best_on_validation, reference_twin


def test_the_best_and_of_equals_the_first():
    assert best_on_validation({3: 0.5, 1: 0.7, 2: 0.7}) == 1
    assert best_on_validation({"mmoe": 0.2, "ple": 0.3}) == "ple"


def test_the_reference_is_the_better_twin_in_the_metrics_own_sense():
    validation = {"narrow": [0.70, 0.72], "wide": [0.68, 0.73]}
    assert reference_twin("auc", validation) == "narrow"
    assert reference_twin("logloss", validation) == "wide"
