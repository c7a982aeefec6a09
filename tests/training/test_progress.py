"""How far a training is: best evaluation, evaluations since, and its form in a checkpoint."""

import json
import math

from jaxnuc.training.progress import Progress


def test_counts_evaluations_since_the_best():
    progress = Progress(data=0)
    waited = []
    for merit in (0.5, 0.4, None, 0.5, 0.6, 0.1):
        progress.observe({"pq_pooled": merit or math.nan}, merit)
        waited.append(progress.waited)
    assert waited == [0, 1, 2, 3, 0, 1]
    assert progress.best == 0.6
    assert progress.figures == {"pq_pooled": 0.1}


def test_survives_a_checkpoint():
    progress = Progress({"next": 3}, 1, 5, -0.5, 2, ["Lion gives way to SGD"], {"aji": 0.5})
    assert Progress.from_json(json.loads(json.dumps(progress.to_json()))) == progress
    progress.observe({"aji": math.nan, "hd95": math.inf}, None)
    restored = Progress.from_json(json.loads(json.dumps(progress.to_json(), allow_nan=False)))
    assert all(math.isnan(figure) for figure in restored.figures.values())
    assert (restored.best, restored.waited) == (-0.5, 3)
