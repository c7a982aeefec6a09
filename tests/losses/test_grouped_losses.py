"""Losses of groups of leaves against values of the reference, literal sums and hand-made splits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnuc import losses
from jaxnuc.losses import FocalTversky, GroupLabels

SETS = ["pannuke", "monusac", "consep", "leaves"]
FINE = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]
COARSE = [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0]]  # two leaves are in no group
POOLED = [losses.grouped_tversky, losses.grouped_dice]


def focal_tversky(**options):
    """The loss with these options, `loss(logits, labels, reduction)`."""

    def loss(logits, labels, reduction="mean", axis_name=None):
        return losses.grouped_focal_tversky(
            logits, labels, FocalTversky(**options), reduction, axis_name=axis_name
        )

    return loss


EVERY = [
    losses.grouped_cross_entropy,
    functools.partial(losses.grouped_cross_entropy, focal_gamma=0.5),
    functools.partial(losses.grouped_cross_entropy, focal_gamma=2.0),
    focal_tversky(),
    focal_tversky(gamma=0.75),
    focal_tversky(gamma=1.3, clip=True),
    focal_tversky(form="paper", gamma=0.75),
    *POOLED,
]
NAMES = ["ce", "ce_root", "focal", "tversky", "tversky_root", "clipped", "paper", "pooled", "dice"]
GRADIENTS = {loss: jax.jit(jax.value_and_grad(loss), static_argnums=2) for loss in EVERY}
every_loss = pytest.mark.parametrize("loss", EVERY, ids=NAMES)


def plain(labels, classes, **weights):
    """Labels of ordinary classes."""
    table = np.eye(classes, dtype=np.uint8)[None]
    return GroupLabels(labels, np.zeros(len(labels), np.int32), table, **weights)


def random_batch(seed=0):
    """Two examples with groups of their own; some pixels ignored, one saturated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (2, 4, 5, 5)).astype(np.float32)
    labels = np.stack([rng.integers(-1, 4, (4, 5)), rng.integers(-1, 2, (4, 5))])
    return logits, GroupLabels(labels, np.array([0, 1]), losses.group_table([FINE, COARSE]))


@pytest.mark.parametrize("name", SETS)
def test_groups_of_the_reference(golden, name):
    arrays, scalars = golden("losses")
    logits, labels = arrays["grouped__logits"], arrays[f"grouped__{name}__label"]
    table = arrays[f"grouped__{name}__G"][None]
    label_sets = np.zeros(len(labels), np.int32)
    batch = logits, GroupLabels(labels, label_sets, table)
    for key, expected in scalars["grouped"][name].items():
        gamma = float(key.split("_")[1])
        given = {"gamma": gamma} | ({"alpha": 0.5, "epsilon": 1e-3} if "alpha" in key else {})
        tversky = lambda *args, given=given, **more: focal_tversky(**given, **more)(*batch, *args)
        found = {
            "mce_mean": losses.grouped_cross_entropy(*batch),
            "mce_sum": losses.grouped_cross_entropy(*batch, "sum"),
            "mft_elementwise_mean": tversky(),
            "mft_elementwise_sum": tversky("sum"),
            "mft_elementwise_mean_clipped": tversky(clip=True),
            "mft_paper_mean": tversky(form="paper"),
            "mft_paper_sum": tversky("sum", form="paper"),
        }
        found["total_elementwise"] = found["mce_mean"] + found["mft_elementwise_mean"]
        for part, value in found.items():
            np.testing.assert_allclose(value, expected[part], rtol=1e-6, err_msg=f"{key} {part}")

    total = lambda z: (
        losses.grouped_cross_entropy(z, batch[1]) + losses.grouped_focal_tversky(z, batch[1])
    )
    gradient = jax.jit(jax.grad(total))(logits)
    expected = arrays[f"grouped__{name}__grad_total"]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.usefixtures("double_precision")
def test_classes_of_stardist(golden):
    arrays, scalars = golden("losses")
    expected = scalars["stardist"]["float64"]
    logits = np.log(arrays["stardist__class_prob"].astype(np.float64))
    labels = arrays["stardist__class_true"].astype(np.int32)
    weights = arrays["stardist__class_weights"]
    ignored = np.where(arrays["stardist__ignore"], -1, labels)
    assert 0 < (ignored < 0).sum() < labels.size
    # The reference divides by the sum of p + 1e-7: with 7 classes its logarithms are 7e-7 larger.
    p = np.take_along_axis(
        arrays["stardist__class_prob"].astype(np.float64), labels[..., None], axis=-1
    )
    focal = lambda p: -((1 - p) * np.log(p)).mean()
    np.testing.assert_allclose(focal(p / (1 + 7e-7)), expected["conic_ce_focal_gamma_1"], rtol=1e-7)

    @jax.jit
    def all_forms(logits, labels, ignored, weights):
        entropy = lambda labels, *args, **k: losses.grouped_cross_entropy(
            logits, plain(labels, 7, **k), *args
        )
        tversky = lambda class_weights=None, **k: focal_tversky(**k)(
            logits, plain(labels, 7, class_weights=class_weights)
        )
        focal = losses.grouped_cross_entropy(logits, plain(labels, 7), focal_gamma=1.0)
        by_name = {
            "class_ce": entropy(labels),
            "class_ce_weighted": entropy(labels, class_weights=weights),
            "class_ce_with_ignore": entropy(ignored, "mean_all"),
            "conic_tversky": tversky(clip=True),
            "conic_tversky_weighted": tversky(clip=True, class_weights=weights),
            "conic_tversky_exponent_1_2": tversky(clip=True, gamma=1.2),
            "conic_tversky_exponent_1_33": tversky(clip=True, gamma=1.33),
            "conic_tversky_without_clip": tversky(),
            "conic_class_total": entropy(labels) + tversky(clip=True),
        }
        return by_name, focal, losses.cross_entropy(logits, labels)

    by_name, found, ordinary = all_forms(logits, labels, ignored, weights)
    np.testing.assert_allclose(found, focal(p), rtol=1e-9)
    for name, value in by_name.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(by_name["class_ce"], ordinary, rtol=1e-9)


def test_types_of_hovernet(golden):
    arrays, scalars = golden("losses")
    expected = scalars["hover"]["float64"]
    logits, labels = arrays["hover__tp_logits"], arrays["hover__tp_true"]

    def total(logits, labels):
        of_types = plain(labels, 5)
        entropy = losses.grouped_cross_entropy(logits, of_types)
        dice = losses.grouped_dice(logits, of_types, "sum")
        return entropy + dice, (entropy, dice)

    gradient, (entropy, dice) = jax.jit(jax.grad(total, has_aux=True))(logits, labels)
    np.testing.assert_allclose(entropy, expected["tp_ce"], rtol=1e-6)
    np.testing.assert_allclose(dice, expected["tp_dice"], rtol=1e-6)
    np.testing.assert_allclose(gradient, arrays["hover__grad_tp"], rtol=1e-5, atol=1e-8)

    @jax.jit
    def means(logits, labels):
        p, t = jax.nn.softmax(logits), jax.nn.one_hot(labels, 5)
        ordinary = losses.soft_dice(p, t, smooth=1e-3, per_class=True)
        return losses.grouped_dice(logits, plain(labels, 5)), ordinary

    np.testing.assert_allclose(*means(logits, labels), rtol=1e-6)


def literal(logits, labels, label_sets, table, pixel_weights, class_weights):
    """Cross entropy, focal loss, Tversky of pixels, and of groups, in float64, pixel by pixel."""
    z = logits.astype(np.float64)
    y = np.exp(z - np.logaddexp.reduce(z, axis=-1)[..., None])
    entropies, focals, tverskys, weights = [], [], [], []
    sums = np.zeros((*table.shape[:2], 3))
    shares = np.zeros(len(table))
    for b, row, column in np.argwhere(labels >= 0):
        label_set, own, weight = (
            label_sets[b],
            labels[b, row, column],
            pixel_weights[b, row, column],
        )
        groups = [g for g in range(table.shape[1]) if table[label_set, g].any()]
        terms = []
        for g in groups:
            t, p = float(g == own), y[b, row, column][table[label_set, g] > 0].sum()
            term = 1 - (t * p + 1e-6) / (0.7 * t + 0.3 * p + 1e-6)
            terms.append(class_weights[label_set, g] * term)
            sums[label_set, g] += weight * np.array([t * p, t, p])
        right = y[b, row, column][table[label_set, own] > 0].sum()
        entropies.append(-class_weights[label_set, own] * np.log(right))
        focals.append(entropies[-1] * (1 - right) ** 2)
        tverskys.append(np.mean(terms))
        weights.append(weight)
        shares[label_set] += weight
    pooled = 0.0
    for k in range(len(table)):
        ratios = []
        for g in range(table.shape[1]):
            if table[k, g].any():
                hit, truth, predicted = sums[k, g]
                ratios.append(1 - (hit + 0.1) / (0.6 * truth + 0.4 * predicted + 0.1))
        pooled += shares[k] / shares.sum() * np.mean(ratios)
    means = [np.average(values, weights=weights) for values in (entropies, focals, tverskys)]
    return [*means, pooled]


def test_two_label_sets_with_weights_pixel_by_pixel():
    logits, (labels, _, table, *_) = random_batch()
    logits, labels = np.concatenate([logits, logits[::-1] * 0.7]), np.concatenate([labels] * 2)
    label_sets = np.array([0, 1, 0, 1])
    table = np.concatenate([table, table[:1]])  # a label set that no example has
    rng = np.random.default_rng(1)
    weights = rng.random(labels.shape).astype(np.float32)
    class_weights = rng.random(table.shape[:2]).astype(np.float32)
    weighted = GroupLabels(labels, label_sets, table, weights, class_weights)
    focal = functools.partial(losses.grouped_cross_entropy, focal_gamma=2.0)
    found = [
        jax.jit(losses.grouped_cross_entropy)(logits, weighted),
        jax.jit(focal)(logits, weighted),
        jax.jit(focal_tversky())(logits, weighted),
        jax.jit(losses.grouped_tversky)(
            logits, weighted._replace(class_weights=None), alpha=0.6, smooth=0.1
        ),
    ]
    np.testing.assert_allclose(found, literal(logits, *weighted), rtol=2e-6)


@every_loss
def test_a_batch_is_the_mean_of_its_label_sets_by_pixels(loss):
    logits, given = random_batch()
    labels = given.labels
    value, gradient = GRADIENTS[loss](logits, given)
    expected, gradients, pixels = 0.0, [], (labels >= 0).sum((1, 2))
    assert pixels[0] != pixels[1]
    for k, matrix in enumerate((FINE, COARSE)):  # each by itself, without padding
        alone = losses.group_table([matrix])
        one = GroupLabels(labels[k : k + 1], np.zeros(1, int), alone)
        part, slope = GRADIENTS[loss](logits[k : k + 1], one)
        expected += pixels[k] / pixels.sum() * part
        gradients.append(pixels[k] / pixels.sum() * slope)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, np.concatenate(gradients), rtol=1e-5, atol=1e-8)
    if loss not in POOLED:
        total = lambda labels: GRADIENTS[loss](logits, given._replace(labels=labels), "sum")[0]
        halves = [total(np.where([[[k]], [[not k]]], -1, labels)) for k in (True, False)]
        np.testing.assert_allclose(total(labels), sum(halves), rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_merged_groups_never_cost_more(seed):
    rng = np.random.default_rng(seed)
    logits, (labels, *_) = random_batch(seed)
    fine = rng.permutation(np.eye(5, dtype=np.uint8))[None, :4]
    first, second = rng.choice(4, 2, replace=False)
    merged = fine.copy()
    merged[0, first] += merged[0, second]
    merged[0, second] = 0
    label_sets = np.zeros(2, int)
    read = np.where(labels == second, first, labels)
    before = losses.grouped_cross_entropy(logits, GroupLabels(labels, label_sets, fine))
    after = losses.grouped_cross_entropy(logits, GroupLabels(read, label_sets, merged))
    assert after < before


@every_loss
@pytest.mark.parametrize("height", [80.0, 1.0, 0.0])
def test_gradients_are_finite(loss, height):
    """Right and wrong one-hot pixels, one-pixel groups, nothing but background, all ignored."""
    signs = np.where(np.eye(5)[np.arange(20).reshape(1, 4, 5) % 5], 1, -1)
    logits = (height * np.concatenate([signs, signs])).astype(np.float32)
    one_pixel = np.zeros((4, 5), int)
    one_pixel[1, 2] = 1
    label_sets, table = np.array([0, 1]), losses.group_table([FINE, COARSE])
    for labels in (one_pixel, 0 * one_pixel, 0 * one_pixel - 1):
        labels = np.stack([labels, labels])
        value, gradient = GRADIENTS[loss](logits, GroupLabels(labels, label_sets, table))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        if (labels < 0).all():
            assert value == 0
            assert not np.asarray(gradient).any()


def test_the_worst_pixel_still_learns():
    logits = np.full((1, 1, 1, 5), -80, np.float32)
    logits[..., 0] = 80
    labels = GroupLabels(np.full((1, 1, 1), 2), np.zeros(1, int), losses.group_table([FINE]))
    value, gradient = GRADIENTS[losses.grouped_cross_entropy](logits, labels)
    np.testing.assert_allclose(value, 160 - np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient[0, 0, 0], [1, 0, -0.5, -0.5, 0], atol=1e-6)


def test_the_base_of_the_paper_is_cut_at_zero(golden):
    """A pixel that is right lies below 0, by epsilon for each group but one."""
    logits = 80 * np.eye(4, dtype=np.float32)[None, None, :1]
    batch = (logits, plain(np.zeros((1, 1, 1), int), 4))
    linear = focal_tversky(form="paper", epsilon=1e-3)(*batch)
    np.testing.assert_allclose(linear, -3e-3 / 1.001, rtol=1e-5)
    assert focal_tversky(form="paper", epsilon=1e-3, gamma=1.2)(*batch) == 0


@every_loss
def test_the_number_of_devices_does_not_change_the_loss(loss):
    logits, (labels, label_sets, table, *_) = random_batch()
    weights = np.random.default_rng(2).random(labels.shape).astype(np.float32)

    def run(logits, labels, label_sets, weights, axis_name=None):
        given = GroupLabels(labels, label_sets, table, weights)
        return loss(logits, given, axis_name=axis_name)

    value, gradient = jax.jit(jax.value_and_grad(run))(logits, labels, label_sets, weights)
    arrays = [a[:, None] for a in (logits, labels, label_sets, weights)]
    shared = jax.value_and_grad(functools.partial(run, axis_name="batch"))
    values, gradients = jax.jit(jax.vmap(shared, axis_name="batch"))(*arrays)
    np.testing.assert_allclose(values, [value] * 2, rtol=1e-6)
    np.testing.assert_allclose(gradients[:, 0] / 2, gradient, rtol=1e-5, atol=1e-8)


@every_loss
def test_a_label_of_another_label_set_does_not_go_unnoticed(loss):
    logits, given = random_batch()
    given.labels[1, 0, 0] = 2  # the coarse label set has groups 0 and 1
    assert np.isnan(GRADIENTS[loss](logits, given)[0])


def test_bfloat16_logits_are_read_in_float32():
    logits, labels = random_batch()
    logits = jnp.asarray(logits, jnp.bfloat16)
    for loss in (losses.grouped_cross_entropy, losses.grouped_dice):
        found = loss(logits, labels)
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, loss(logits.astype("float32"), labels))


def test_wrong_arguments_are_refused():
    logits, labels = random_batch()
    other_table = labels._replace(table=labels.table[..., :4])
    for arguments, message in [
        ((logits, other_table), r"table of shape \(2, 4, 4\) for logits of 5 leaves"),
        ((logits[..., :4], labels), r"it must be \(label sets, groups, 4\)"),
        ((logits, labels._replace(labels=labels.labels[:, 1:])), "do not belong together"),
        ((logits, labels._replace(label_sets=labels.label_sets[:1])), "do not belong together"),
        ((logits, labels, "max"), "reduction='max'; known: mean, mean_all, sum"),
    ]:
        with pytest.raises(ValueError, match=message):
            losses.grouped_cross_entropy(*arguments)
    with pytest.raises(ValueError, match="form='eq4'; known: elementwise, paper"):
        FocalTversky(form="eq4")
    with pytest.raises(ValueError, match="over_groups='max'; known: mean, sum"):
        losses.grouped_dice(logits, labels, "max")
    with pytest.raises(ValueError, match="whole groups take no class_weights"):
        losses.grouped_dice(logits, labels._replace(class_weights=np.ones(4, np.float32)))
    with pytest.raises(ValueError, match=r"group matrices of \[3, 5\] leaves"):
        losses.group_table([FINE, np.eye(3)])


LEVELS = [  # group 2 holds group 3
    [1, 0, 0, 0, 0],
    [0, 1, 0, 0, 0],
    [0, 0, 1, 1, 0],
    [0, 0, 0, 1, 0],
    [0, 0, 0, 0, 1],
]


def literal_pixels(logits, labels, table):
    """Of every pixel that is not ignored, the groups that count and the probability of each."""
    for b, y, x in np.argwhere(labels.labels >= 0):
        p = np.exp(logits[b, y, x].astype(np.float64))
        p /= p.sum()
        held = [set(np.flatnonzero(row)) for row in table[labels.label_sets[b]]]
        own = labels.labels[b, y, x]
        counting = [k for k, x in enumerate(held) if x and (k == own or not x & held[own])]
        yield labels.label_sets[b], own, {k: p[list(held[k])].sum() for k in counting}


def test_labels_at_several_levels_against_sums_by_hand():
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, (3, 4, 5, 5)).astype(np.float32)
    labels = np.stack([rng.integers(-1, n, (4, 5)) for n in (5, 5, 4)])
    table = losses.group_table([LEVELS, FINE])
    batch = GroupLabels(labels, np.array([0, 0, 1]), table)
    pixels = list(literal_pixels(logits, batch, table))
    assert {len(y) for _, _, y in pixels} == {4, 5}

    entropy = [-np.log(y[own]) for _, own, y in pixels]
    found = jax.jit(losses.grouped_cross_entropy)(logits, batch)
    np.testing.assert_allclose(found, np.mean(entropy), rtol=1e-5)

    alpha, epsilon, gamma = 0.7, 1e-2, 1.5
    ratio = lambda t, y: (t * y + epsilon) / (alpha * t + (1 - alpha) * y + epsilon)
    elementwise = [
        np.mean([(1 - ratio(float(k == own), p)) ** gamma for k, p in y.items()])
        for _, own, y in pixels
    ]
    options = {"alpha": alpha, "epsilon": epsilon, "gamma": gamma}
    found = jax.jit(focal_tversky(**options))(logits, batch)
    np.testing.assert_allclose(found, np.mean(elementwise), rtol=1e-5)
    paper = [
        1 - (y[own] + len(y) * epsilon) / (alpha + (1 - alpha) * sum(y.values()) + epsilon)
        for _, own, y in pixels
    ]
    of_paper = focal_tversky(form="paper", alpha=alpha, epsilon=epsilon)
    found = jax.jit(of_paper)(logits, batch)
    np.testing.assert_allclose(found, np.mean(paper), rtol=1e-4)

    of_sets, counts = [], []
    for number, size in ((0, 5), (1, 4)):
        own_pixels = [(own, y) for label_set, own, y in pixels if label_set == number]
        per_group = []
        for k in range(size):
            hit = sum(y[k] for own, y in own_pixels if own == k)
            truth = sum(own == k for own, _ in own_pixels)
            predicted = sum(y.get(k, 0) for _, y in own_pixels)
            union = alpha * truth + (1 - alpha) * predicted
            per_group.append(1 - (hit + 1e-6) / (union + 1e-6))
        of_sets.append(np.mean(per_group))
        counts.append(len(own_pixels))
    found = jax.jit(losses.grouped_tversky)(logits, batch, alpha=alpha)
    np.testing.assert_allclose(found, np.average(of_sets, weights=counts), rtol=1e-5)


@every_loss
def test_of_a_coarse_label_the_parts_are_free(loss):
    """Where the probability of a group is, among its leaves and the groups in it, has no effect."""
    logits = np.log(
        np.array([[[[0.1, 0.2, 0.5, 0.1, 0.1], [0.1, 0.2, 0.1, 0.5, 0.1]]]], np.float32)
    )
    table = losses.group_table([LEVELS])
    coarse = GroupLabels(np.array([[[2, 2]]]), np.array([0]), table)
    gradients = GRADIENTS[loss](jnp.asarray(logits), coarse)[1]
    # By the probability of a leaf: that of its logit is p (dL/dp - sum), the same for both leaves.
    by_probability = np.asarray(gradients / np.exp(logits))[0, 0]
    np.testing.assert_allclose(by_probability[:, 2], by_probability[:, 3], rtol=1e-4)
    assert (by_probability[:, 2] < 0).all()
