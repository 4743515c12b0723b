"""Every sample once an epoch, in an order that depends on seed and epoch alone."""

from __future__ import annotations

from k2core_training.ordering import batch_of, steps_of


def test_each_epoch_takes_every_sample_once() -> None:
    assert steps_of(10, 4, 2) == 6
    epochs = [[i for step in range(first, first + 3) for i in batch_of(step, 10, 4, seed=1)] for first in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert [len(batch_of(step, 10, 4, 1)) for step in range(3)] == [4, 4, 2]


def test_the_order_is_a_function_of_the_seed() -> None:
    assert batch_of(5, 100, 7, seed=1) == batch_of(5, 100, 7, seed=1) != batch_of(5, 100, 7, seed=2)
