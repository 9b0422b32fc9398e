"""Splits by size, group and source; whitening; mixing; whether two sets come from one distribution."""

import numpy as np
import pytest

import fastnn
from fastnn import data as D
from fastnn import strategy

RNG = np.random.RandomState(0)


# --- splits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 7, 100, 9_999, 50_001, 1_000_000, 12_345_678])
@pytest.mark.parametrize("preset", ["auto", "train-test", "classic", "big", "huge", "huge-dev"])
def test_sizes_add_up(n, preset):
    sizes = D.split_sizes(n, preset)
    assert sum(sizes) == n and min(sizes) >= 0 and len(sizes) == (2 if preset == "train-test" else 3)


def test_groups_stay_whole_and_sizes_near():
    groups = RNG.randint(0, 60, 1000)
    y = RNG.randint(0, 3, 1000)
    parts = D.split_indices(1000, [0.6, 0.2, 0.2], seed=1, groups=groups, stratify=y)
    assert sorted(np.concatenate(parts)) == list(range(1000))
    owners = [set(groups[p]) for p in parts]
    assert not owners[0] & owners[1] and not owners[0] & owners[2] and not owners[1] & owners[2]
    for part, share in zip(parts, (0.6, 0.2, 0.2)):
        assert abs(len(part) - 1000 * share) < 25
        assert np.allclose(np.bincount(y[part]) / len(part), np.bincount(y) / 1000, atol=0.05)
    again = D.split_indices(1000, [0.6, 0.2, 0.2], seed=1, groups=groups, stratify=y)
    assert all((a == b).all() for a, b in zip(parts, again))
    other = D.split_indices(1000, [0.6, 0.2, 0.2], seed=2, groups=groups, stratify=y)
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(parts, other))


def test_a_giant_group_leaves_no_part_empty():
    parts = D.split_indices(100, [0.8, 0.1, 0.1], groups=np.r_[np.zeros(98), 1, 2])
    assert [len(p) for p in parts] == [98, 1, 1]
    x_train, x_test = D.train_test_split(np.arange(10), test_size=0.5, groups=np.repeat([0, 1], 5))
    assert set(x_train // 5) != set(x_test // 5)


def test_split_by_source_takes_dev_and_test_from_the_target():
    sources = np.array(["web"] * 200 + ["phone"] * 50)
    s = D.split_by_source(sources, "phone", dev=10, test=0.4, train_dev=0.1, seed=4)
    assert set(sources[s.dev]) == set(sources[s.test]) == {"phone"} and len(s.dev) == 10 and len(s.test) == 20
    assert sorted(np.concatenate(s)) == list(range(250))
    assert (
        len(s.train_dev) == 22 and (sources[s.train] == "phone").sum() + (sources[s.train_dev] == "phone").sum() == 20
    )
    two = D.split_by_source([0, 1, 2, 1, 2], [1, 2], dev=2, test=2)
    assert list(two.train)[0] == 0 and len(two.train) == 1


# --- whitening ------------------------------------------------------------------------------------------------------


def test_whitening_makes_the_covariance_the_identity():
    x = RNG.randn(3000, 5) @ RNG.randn(5, 5) + 3
    for kind in ("pca", "zca"):
        w = D.Whitener(kind, eps=0)
        z = w.fit_transform(x)
        assert np.allclose(z.T @ z / len(z), np.eye(5), atol=1e-10) and np.allclose(z.mean(0), 0, atol=1e-10)
        assert np.allclose(w.inverse_transform(z), x)
    zca, pca = D.Whitener("zca", eps=0).fit_transform(x), D.Whitener("pca", eps=0).fit_transform(x)
    centred = x - x.mean(0)
    assert ((zca - centred) ** 2).sum() <= ((pca - centred) ** 2).sum()  # the whitening nearest to the data
    images = fastnn.tensor(RNG.rand(50, 4, 4, 1).astype(np.float32))
    assert D.Whitener("zca").fit_transform(images).shape == (50, 4, 4, 1)
    assert D.Whitener("pca", components=3).fit_transform(images).shape == (50, 3)


def test_pca_keeps_the_share_of_variance_and_agrees_with_scikit_learn():
    sk = pytest.importorskip("sklearn.decomposition")
    x = RNG.randn(400, 6) * [5, 4, 3, 1, 0.1, 0.01]
    w = D.Whitener("pca", components=0.99, eps=0).fit(x)
    theirs = sk.PCA(0.99, whiten=True).fit(x)
    assert w.directions.shape == (6, theirs.n_components_)
    scale = np.sqrt((len(x) - 1) / len(x))  # scikit-learn divides by N - 1
    assert np.allclose(abs(w.transform(x)) * scale, abs(theirs.transform(x)))


def test_a_constant_feature_is_not_blown_up():
    x = np.c_[RNG.randn(100, 2), np.full(100, 7.0)]
    for eps in (0, 1e-5):
        z = D.Whitener("zca", eps=eps).fit_transform(x)
        assert np.isfinite(z).all() and abs(z[:, 2]).max() < 1e-5


# --- mixing ---------------------------------------------------------------------------------------------------------


def test_noise_is_mixed_at_the_ratio_asked_for():
    clean, noise = np.sin(np.arange(8000) / 9), RNG.randn(8000)
    for snr in (-5, 0, 20):
        mixed = D.mix_at_snr(clean, noise, snr)
        added = mixed - clean
        assert np.isclose(10 * np.log10((clean**2).mean() / (added**2).mean()), snr)
    assert np.array_equal(D.mix_at_snr(clean, noise, np.inf), clean)
    assert D.mix_at_snr(fastnn.tensor(clean.astype(np.float32)), noise, 10).dtype == fastnn.float32


def test_noise_mixer_is_seeded_and_counts_repetition():
    noises = [RNG.randn(500), RNG.randn(50)]
    mixer = D.NoiseMixer(noises, snr_db=(5, 15), seed=7)
    clip = np.ones(100)
    assert np.array_equal(mixer(clip, 3), D.NoiseMixer(noises, snr_db=(5, 15), seed=7)(clip, 3))
    assert not np.array_equal(mixer(clip, 3), mixer(clip, 4))
    for i in range(200):
        mixer(clip, i)
    pause = np.r_[np.zeros(200), 1.0]
    assert any(np.array_equal(D.NoiseMixer([pause])(clip, i), clip) for i in range(5))  # a stretch of silence
    d = mixer.diversity()
    assert d["clean"] == 203 * 100 and d["noise"] <= 550 and d["repeats"] > 30 and "by heart" in mixer.report()


def test_images_on_backgrounds():
    ink, ground = np.zeros((1, 2, 2)), np.full((1, 2, 2, 3), 0.25, np.float32)
    ink[0, 0, 0] = 1
    a = D.on_backgrounds(ink, ground)
    assert a.shape == (1, 2, 2, 3) and a[0, 0, 0, 0] == 0.75 and a[0, 1, 1, 2] == 0.25
    b = D.on_backgrounds(ink, ground, "paint", color=[1, 0, 0])
    assert list(b[0, 0, 0]) == [1, 0, 0] and b[0, 1, 1, 0] == 0.25
    photos = (RNG.rand(3, 9, 9, 3) * 255).astype(np.uint8)
    crops = D.random_crops(photos, 10, 4, seed=1)
    assert crops.shape == (10, 4, 4, 3) and np.array_equal(crops, D.random_crops(list(photos), 10, 4, seed=1))


# --- one distribution? ----------------------------------------------------------------------------------------------


def test_ks_distance_and_p_value():
    stats = pytest.importorskip("scipy.stats")
    for shift in (0, 0.1, 0.5):
        a, b = RNG.randn(400), RNG.randn(300) + shift
        d, p = strategy.ks_test(a, b)
        theirs = stats.ks_2samp(a, b, method="asymp")
        assert np.isclose(d, theirs.statistic) and abs(p - theirs.pvalue) < 0.02
    assert strategy.ks_test([1, 2, 3], [1, 2, 3]) == (0, 1)


def test_sets_of_one_distribution_pass_and_others_do_not(tmp_path):
    pytest.importorskip("matplotlib")
    a, b = RNG.randn(300, 6), RNG.randn(250, 6)
    state = fastnn.get_rng_state()
    check = strategy.same_distribution(a, b)
    assert check.same and abs(check.accuracy - 0.5) < 0.06 and "no difference" in str(check)
    b[:, 2] += 1
    with pytest.warns(strategy.DistributionWarning, match="NOT come from one distribution"):
        check = strategy.same_distribution(a, b, features=list("abcdef"))
    assert not check.same and check.features[0][0] == "c" and check.accuracy > 0.6 and check.p_value < 1e-4
    assert fastnn.get_rng_state() == state
    check.plot(tmp_path / "check.png")
    assert (tmp_path / "check.png").stat().st_size > 10_000


def test_a_difference_in_the_joint_distribution_alone_is_seen_by_the_classifier():
    a = RNG.randn(600, 2)
    b = RNG.randn(600, 2)
    b[:, 1] = 0.9 * b[:, 0] + np.sqrt(1 - 0.81) * b[:, 1]  # each feature is still a standard normal
    check = strategy.same_distribution(a, b, warn=False)
    assert min(p for _, _, p in check.features) > 0.01 and check.p_value < 1e-6


def test_false_alarms_are_as_rare_as_promised():
    alarms = sum(not strategy.same_distribution(RNG.randn(60, 4), RNG.randn(60, 4), alpha=0.05, warn=False, epochs=5,
                                                seed=i).same for i in range(40))  # fmt: skip
    assert alarms <= 9  # two tests of 5 %: about 4 are expected


@pytest.mark.parametrize("call", [
    lambda: D.split_sizes(-1),
    lambda: D.split_sizes(1.5),
    lambda: D.split_sizes(10, "odd"),
    lambda: D.split_indices(3, [0.5, 0.5], groups=[0, 1]),
    lambda: D.split_indices(3, [1, 1, 1], groups=[0, 0, 1]),
    lambda: D.split_by_source([0, 1], 2, 1, 1),
    lambda: D.split_by_source([0, 1, 1], 1, 2, 1),
    lambda: D.split_by_source([0, 1, 1], 1, 1, 1, train_dev=5),
    lambda: D.Whitener("odd"),
    lambda: D.Whitener("zca", components=2),
    lambda: D.Whitener("pca", components=0),
    lambda: D.Whitener(eps=-1),
    lambda: D.Whitener().fit(np.zeros((0, 3))),
    lambda: D.Whitener().fit(np.zeros(3)),
    lambda: D.Whitener().fit(np.full((3, 2), np.nan)),
    lambda: D.Whitener("pca", components=4).fit(np.eye(3)),
    lambda: D.Whitener().fit(np.eye(3)).transform(np.eye(4)),
    lambda: D.Whitener().fit(np.eye(3)).inverse_transform(np.eye(4)),
    lambda: D.mix_at_snr([1.0], [1.0, 2.0], 0),
    lambda: D.mix_at_snr([0.0], [1.0], 0),
    lambda: D.mix_at_snr([1.0], [0.0], 0),
    lambda: D.mix_at_snr([1.0], [np.nan], 0),
    lambda: D.mix_at_snr([1.0], [1.0], np.nan),
    lambda: D.mix_at_snr([], [], 0),
    lambda: D.NoiseMixer([]),
    lambda: D.NoiseMixer([[1.0]], snr_db=(3, 1)),
    lambda: D.NoiseMixer([np.ones((4, 2))]),
    lambda: D.NoiseMixer([np.zeros(4)]),
    lambda: D.random_crops(np.zeros((2, 4, 4, 3)), 1, 5),
    lambda: D.random_crops([], 1, 5),
    lambda: D.random_crops(np.zeros((2, 4, 4, 3)), -1, 2),
    lambda: D.on_backgrounds(np.zeros((1, 2, 2)), np.zeros((2, 2, 2, 3))),
    lambda: D.on_backgrounds(np.full((1, 2, 2), 2.0), np.zeros((1, 2, 2, 3))),
    lambda: D.on_backgrounds(np.zeros((1, 2, 2)), np.zeros((1, 2, 2, 3)), "odd"),
    lambda: strategy.ks_test([], [1]),
    lambda: strategy.ks_test([np.nan], [1]),
    lambda: strategy.same_distribution(np.zeros((30, 2)), np.zeros((30, 3))),
    lambda: strategy.same_distribution(np.zeros((3, 2)), np.zeros((30, 2))),
    lambda: strategy.same_distribution(np.full((30, 2), np.nan), np.zeros((30, 2))),
    lambda: strategy.same_distribution(np.zeros((30, 2)), np.zeros((30, 2)), alpha=0),
    lambda: strategy.same_distribution(np.zeros((30, 2)), np.zeros((30, 2)), features=["one"]),
    lambda: strategy.same_distribution(np.array(["a"] * 30), np.zeros((30, 2))),
])  # fmt: skip
def test_malformed_input_is_an_error(call):
    with pytest.raises(ValueError):
        call()


def test_whitening_before_fitting_is_an_error():
    for call in (D.Whitener().transform, D.Whitener().inverse_transform):
        with pytest.raises(RuntimeError, match="call fit"):
            call(np.eye(3))
