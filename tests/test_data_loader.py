"""Batches depend on the seed and the epoch alone."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import BatchSampler

from torchbas.data.images import UnreadableImage
from torchbas.data.loader import Draw, Loader, Order, SampleViews, evaluation_loader, training_loader
from torchbas.data.transforms import center_view, long_side_view, ten_crops, whole_view
from torchbas.errors import InputError
from torchbas.structures import Dataset, Sample


@pytest.fixture
def dataset(tmp_path):
    samples = []
    for number, labels in enumerate([(0,), (1,), (0, 2), (2,), (1, 2), (0,), (1,)]):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)).save(path)
        samples.append(Sample(path, path.name, labels))
    return Dataset(tmp_path, ("a", "b", "c"), tuple(samples))


def _training(dataset, **options):
    return training_loader(dataset, **{"batch_size": 3, "seed": 5, "resize": 16, "crop": 12, **options})


def _equal(first, second):
    return len(first) == len(second) and all(
        torch.equal(x, y) for one, other in zip(first, second, strict=True) for x, y in zip(one, other, strict=True)
    )


def test_a_batch_holds_views_labels_positions_and_sizes(dataset):
    (batch,) = evaluation_loader(dataset, partial(center_view, resize=16, crop=12), 7)
    assert batch.images.shape == (7, 3, 12, 12)
    assert batch.index.tolist() == list(range(7))
    assert batch.target.tolist() == [0, 1, 0, 2, 1, 0, 1]
    assert batch.labels[2].tolist() == [1, 0, 1]
    assert batch.size.tolist() == [[20, 30]] * 7


def test_ten_crops_are_one_dimension_more(dataset):
    batches = list(evaluation_loader(dataset, partial(ten_crops, resize=16, crop=12), 4))
    assert [batch.images.shape for batch in batches] == [(4, 10, 3, 12, 12), (3, 10, 3, 12, 12)]


def test_photos_without_tags_have_the_target_minus_one(dataset):
    untagged = Dataset(dataset.root, (), (Sample(dataset.samples[0].path, "0.png"),))
    (batch,) = evaluation_loader(untagged, partial(whole_view, size=8), 2)
    assert (batch.target.tolist(), batch.labels.shape) == ([-1], (1, 0))


def test_processes_share_an_evaluation_without_repeating_anything(dataset):
    shares = [
        [i for batch in evaluation_loader(dataset, whole_view, 2, rank=rank, world_size=3) for i in batch.index]
        for rank in range(3)
    ]
    assert shares == [[0, 3, 6], [1, 4], [2, 5]]


def test_every_epoch_differs_and_every_repetition_is_the_same(dataset):
    loader = _training(dataset)
    first = list(loader)
    loader.set_epoch(1)
    second = list(loader)
    loader.set_epoch(0)
    assert len(loader) == len(first) == 3
    assert _equal(list(loader), first)
    assert not _equal(first, second)
    assert sorted(torch.cat([batch.index for batch in second]).tolist()) == list(range(7))


def test_the_long_side_view_is_drawn_from_the_same_numbers(dataset):
    squeezed, padded = _training(dataset), _training(dataset, view="long_side")
    for one, other in zip(squeezed, padded, strict=True):
        assert one.images.shape == other.images.shape
        assert torch.equal(one.index, other.index)
        assert torch.equal(one.target, other.target)
        expected = np.random.default_rng((5, 0, int(other.index[0]) + 1))
        labels = dataset.samples[int(other.index[0])].labels
        expected.integers(len(labels))
        sample = Image.open(dataset.samples[int(other.index[0])].path)
        assert torch.equal(other.images[0], long_side_view(sample, expected, 12))


def test_another_seed_gives_another_training(dataset):
    assert not _equal(list(_training(dataset)), list(_training(dataset, seed=6)))


def test_a_multi_label_photo_shows_each_of_its_tags_in_turn(dataset):
    samples = SampleViews(dataset, lambda image, _: whole_view(image, 4), seed=0)
    targets = [samples[Draw(epoch, 2)].target.item() for epoch in range(200)]
    assert 70 < targets.count(0) < 130
    assert set(targets) == {0, 2}


def test_resuming_in_the_middle_continues_the_epoch(dataset):
    loader = _training(dataset)
    loader.set_epoch(2)
    whole = list(loader)
    loader.set_epoch(2, start_batch=1)
    assert _equal(list(loader), whole[1:])
    assert len(loader) == 3
    loader.set_epoch(2, start_batch=3)
    assert list(loader) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on a machine of one core
def test_workers_change_nothing_and_stay_for_the_next_epoch(dataset):
    alone, helped = _training(dataset), _training(dataset, workers=2)
    next(iter(helped))  # an epoch that is left early must not leak into the next
    for epoch, start in ((0, 0), (1, 1), (0, 2)):
        alone.set_epoch(epoch, start)
        helped.set_epoch(epoch, start)
        assert _equal(list(alone), list(helped))


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 6), st.integers(1, 4), st.integers(0, 3))
def test_processes_share_every_batch_equally(count, share, world_size, epoch):
    batch_size = share * world_size
    alone = Order(count, batch_size, seed=1)
    ranks = [Order(count, batch_size, 1, rank, world_size) for rank in range(world_size)]
    for order in (alone, *ranks):
        order.set_epoch(epoch)
    batches = [[draw.index for draw in batch] for batch in alone]
    shared = [[[draw.index for draw in batch] for batch in order] for order in ranks]
    assert len(batches) == len(alone)
    assert [len(order) for order in shared] == [len(order) for order in ranks]
    for together, parts in zip(batches, zip(*shared, strict=True), strict=False):
        kept = len(together) - len(together) % world_size
        assert {len(part) for part in parts} == {kept // world_size}
        assert sorted(index for part in parts for index in part) == sorted(together[:kept])
    assert sum(len(batch) for order in shared for batch in order) == count - count % world_size


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(InputError, match="3 processes cannot share a batch of 32"):
        Order(100, 32, 0, 0, 3)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_photo_damaged_during_training_is_one_sentence(dataset, workers):
    loader = _training(dataset, workers=workers)
    (dataset.root / "3.png").write_bytes(b"")
    with pytest.raises(UnreadableImage) as error:
        list(loader)
    assert str(error.value) == f"{dataset.root}/3.png is empty (0 bytes). Copy it again, or remove it."


def test_photos_can_be_pickled(dataset):
    samples = SampleViews(dataset, partial(center_view, resize=16, crop=12))
    assert _equal([pickle.loads(pickle.dumps(samples))[4]], [samples[4]])


def test_a_large_jpeg_may_be_decoded_smaller(tmp_path):
    Image.new("RGB", (800, 640)).save(tmp_path / "a.jpg")
    sizes = []
    samples = SampleViews(
        Dataset(tmp_path, (), (Sample(tmp_path / "a.jpg", "a.jpg"),)),
        lambda image: sizes.append(image.size) or whole_view(image, 4),
        at_least=100,
    )
    assert samples[0].size.tolist() == [640, 800]
    assert sizes == [(134, 107)] or sizes == [(200, 160)]


def test_an_evaluation_has_no_epochs(dataset):
    loader = evaluation_loader(dataset, whole_view, 2)
    assert isinstance(loader, Loader)
    assert isinstance(loader.batch_sampler, BatchSampler)
    with pytest.raises(AssertionError):
        loader.set_epoch(1)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_in_training_the_next_photo_is_taken_for_one_that_vanished(dataset, workers):
    before = list(_training(dataset, workers=workers))
    dataset.samples[3].path.unlink()
    dataset.samples[6].path.write_bytes(b"no photo")
    told = []
    after = list(_training(dataset, workers=workers, unreadable=told.append))
    order, instead = torch.cat([batch.index for batch in before]), {3: 4, 6: 0}
    assert torch.cat([batch.index for batch in after]).tolist() == [instead.get(i, i) for i in order.tolist()]
    assert sorted(problem.name for problem in told) == ["3.png", "6.png"]
    assert all(problem.name in problem.reason for problem in told)
    kept = [
        (batch, row) for batch in range(len(before)) for row, i in enumerate(before[batch].index) if int(i) in (0, 1, 2)
    ]
    for batch, row in kept:
        assert torch.equal(before[batch].images[row], after[batch].images[row])
    assert _equal(after, list(_training(dataset, workers=workers, unreadable=told.append)))


def test_an_evaluation_leaves_out_what_vanished_and_training_ends_where_nothing_is_left(dataset):
    for sample in dataset.samples[3:6]:
        sample.path.unlink()
    told = []
    batches = list(evaluation_loader(dataset, partial(whole_view, size=8), 3, unreadable=told.append))
    assert [batch.index.tolist() for batch in batches] == [[0, 1, 2], [6]]
    assert [problem.name for problem in told] == ["3.png", "4.png", "5.png"]
    for sample in (*dataset.samples[:3], dataset.samples[6]):
        sample.path.unlink()
    assert not list(evaluation_loader(dataset, partial(whole_view, size=8), 3, unreadable=told.append))
    with pytest.raises(UnreadableImage):
        list(_training(dataset, unreadable=told.append))
