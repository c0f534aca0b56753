"""Training: resumed as if never stopped, scheduled, weighted, and ended by a loss that is not finite."""

import dataclasses

import numpy as np
import pytest

from features.backbones.network import randomize
from features.errors import DataError
from pipeline.networks import augmentation, checkpoints, training
from pipeline.networks.data import TrainingData, batches
from pipeline.networks.inference import probabilities
from pipeline.networks.train_stage import TrainStage
from pipeline.networks.training import Setup, train

STAGE = TrainStage("all", epochs=4, learning_rate=3e-3, batch_size=32)


class Killed(Exception):
    pass


def network():
    import keras

    pixels = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.ops.cast(pixels, "float32") / 255
    x = keras.layers.Conv2D(8, 3, strides=2)(x)
    x = keras.layers.BatchNormalization(momentum=0.8)(x)
    x = keras.layers.Flatten()(keras.ops.relu(x))
    x = keras.layers.Dropout(0.3, seed=5)(x)
    model = keras.Model(pixels, keras.layers.Dense(2)(x))
    randomize(model, 0)
    return model


def data(images=160, held_out=40, rare=False):
    """Bright and dark noise; with `rare`, one image in eight is bright."""
    rng = np.random.default_rng(0)
    labels = (np.arange(images) % (8 if rare else 2) == 0).astype(np.int32)
    x = rng.integers(0, 100, (images, 8, 8, 3), np.uint8) + 80 * labels[:, None, None, None]
    order = rng.permutation(images)
    return TrainingData(x.astype(np.uint8), labels, 2, order[held_out:], order[:held_out])


def setup(**changes):
    layer = augmentation.layer(("flip", "translation", "contrast"), 3)
    return Setup(**({"seed": 1, "augmentation": layer} | changes))


def weights(model):
    return checkpoints.values(model.weights)


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
def test_a_killed_run_ends_with_equal_weights(tmp_path, monkeypatch, schedule):
    stage = dataclasses.replace(STAGE, schedule=schedule)
    whole = network()
    expected = train(whole, data(), stage, tmp_path / "whole", setup())

    save = training._StageRun._save

    def save_and_die(run, finished):
        save(run, finished)
        if len(run._history.epochs) == 2:
            raise Killed

    monkeypatch.setattr(training._StageRun, "_save", save_and_die)
    with pytest.raises(Killed):
        train(network(), data(), stage, tmp_path / "killed", setup())
    monkeypatch.setattr(training._StageRun, "_save", save)

    resumed = network()
    history = train(resumed, data(), stage, tmp_path / "killed", setup())
    assert [dataclasses.replace(epoch, seconds=0) for epoch in history.epochs] == [
        dataclasses.replace(epoch, seconds=0) for epoch in expected.epochs
    ]
    for mine, theirs in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_it_learns_and_a_finished_stage_is_not_trained_again(tmp_path, monkeypatch):
    stage = dataclasses.replace(STAGE, epochs=6, learning_rate=0.01)
    first = network()
    history = train(first, data(), stage, tmp_path, setup(augmentation=None))
    assert history.epochs[history.best_epoch - 1].val_accuracy > 0.9, history

    monkeypatch.setattr(training._StageRun, "_train_epoch", None)
    again = network()
    assert train(again, data(), stage, tmp_path, setup(augmentation=None)) == history
    for mine, theirs in zip(weights(again), weights(first), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_loss_that_is_not_finite_ends_training_and_the_message_names_the_epoch(tmp_path):
    stage = dataclasses.replace(STAGE, schedule="constant", learning_rate=1e30)
    with pytest.raises(DataError, match=r"fold 1, all: .* in epoch 1 at learning rate 1e\+30; try"):
        train(network(), data(), stage, tmp_path, setup(title="fold 1"))


def test_training_ends_where_validation_no_longer_gains(tmp_path):
    stage = dataclasses.replace(
        STAGE, epochs=50, patience=2, schedule="constant", learning_rate=0.03
    )
    guessed = data(images=60)
    labels = np.random.default_rng(1).integers(2, size=60).astype(np.int32)  # nothing to learn
    guessed, model = dataclasses.replace(guessed, labels=labels), network()
    history = train(model, guessed, stage, tmp_path, setup(augmentation=None))
    losses = [epoch.val_loss for epoch in history.epochs]
    assert len(losses) < 50
    assert history.best_epoch == int(np.argmin(losses)) + 1 == len(losses) - 2
    held_out = guessed.held_out
    probs = probabilities(model, guessed.x, held_out)
    of_true_class = probs[np.arange(len(held_out)), labels[held_out]]
    assert -np.log(of_true_class).mean() == pytest.approx(min(losses), rel=1e-4)


def test_rare_classes_weigh_more(tmp_path):
    rare = data(rare=True)
    weights = rare.class_weights()
    counts = np.bincount(rare.labels[rare.train])
    assert weights * counts == pytest.approx(len(rare.train) / 2)
    _, _, shown = batches(rare, 16, 0.0, weights, seed=0, epoch=1)[0]
    assert set(shown.tolist()) == set(weights.tolist())


def test_an_epochs_order_follows_from_seed_and_epoch():
    def rows(seed, epoch):
        epoch_batches = batches(data(), 32, 0.1, np.ones(2, np.float32), seed, epoch)
        return np.concatenate([epoch_batches[i][0] for i in range(len(epoch_batches))])

    np.testing.assert_array_equal(rows(0, 1), rows(0, 1))
    assert (rows(0, 1) != rows(0, 2)).any()
    assert (rows(0, 1) != rows(1, 1)).any()


def test_views_of_an_image_are_shown_in_turn_and_the_first_one_validates():
    base = data()
    views = np.concatenate([np.full((160, 4), v, np.float16) for v in range(3)])
    cached = dataclasses.replace(base, x=views, views=3)
    x, targets, _ = batches(cached, 120, 0.0, np.ones(2, np.float32), 0, 1)[0]
    assert set(np.unique(x).tolist()) == {0, 1, 2}
    assert targets.argmax(axis=1).sum() == base.labels[base.train].sum()


def test_smoothed_labels():
    _, targets, _ = batches(data(), 32, 0.2, np.ones(2, np.float32), 0, 1)[0]
    assert np.unique(targets) == pytest.approx([0.1, 0.9])


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    state = checkpoints.State(True, training.History(), [np.zeros(3)], [], [])
    checkpoints.write(tmp_path / "all.npz", state)
    with pytest.raises(DataError, match="belongs to another network"):
        train(network(), data(), STAGE, tmp_path, setup())
    (tmp_path / "all.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="cannot be read as a checkpoint"):
        train(network(), data(), STAGE, tmp_path, setup())
