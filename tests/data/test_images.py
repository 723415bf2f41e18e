"""Images become tensors, are cropped, flipped and scaled."""

import numpy as np
import pytest

import clearprop as cp
from clearprop.data import images

X = cp.arange(24.0).reshape(2, 3, 4)


def test_bytes_become_numbers_from_0_to_1_with_channels_in_front():
    a = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    x = images.ToTensor()(a)
    assert x.shape == (3, 2, 4) and x.dtype is cp.float32
    np.testing.assert_allclose(x.numpy(), a.transpose(2, 0, 1) / 255, rtol=1e-6)
    assert images.ToTensor()(np.ones((2, 2))).dtype is cp.float32
    assert images.ToTensor()(np.ones((2, 2), np.int32)).dtype is cp.int32


def test_an_object_that_has_an_array_is_an_image():
    class Image:  # as PIL's are
        def __array__(self, dtype=None, copy=None):
            return np.full((2, 3), 51, np.uint8)

    np.testing.assert_allclose(images.ToTensor()(Image()).numpy(), np.full((1, 2, 3), 0.2), 1e-6)


def test_normalize_by_channel():
    y = images.Normalize([1.0, 2.0], [2.0, 4.0])(X)
    np.testing.assert_allclose(y.numpy()[1], (X.numpy()[1] - 2) / 4)
    assert images.Normalize(0.0, 1.0)(X).tolist() == X.tolist()


def test_crops_and_padding():
    assert images.CenterCrop(2)(X).tolist() == X[:, 0:2, 1:3].tolist()
    assert images.CenterCrop((5, 2))(X).shape == (2, 5, 2)
    padded = images.Pad((1, 2), fill=9)(X)
    assert padded.shape == (2, 7, 6) and padded[0, 0, 0].item() == 9
    assert images.Pad((1, 0, 2, 0))(X).shape == (2, 3, 7)
    seen = {tuple(images.RandomCrop((2, 3))(X)[0, 0].tolist()) for _ in range(60)}
    assert seen == {tuple(X[0, r, c : c + 3].tolist()) for r in (0, 1) for c in (0, 1)}
    assert images.RandomCrop(5, padding=2)(X).shape == (2, 5, 5)


def test_flips_happen_with_their_probability():
    assert images.RandomHorizontalFlip(1.0)(X).tolist() == X.flip(-1).tolist()
    assert images.RandomVerticalFlip(1.0)(X).tolist() == X.flip(-2).tolist()
    assert images.RandomVerticalFlip(0.0)(X).tolist() == X.tolist()
    flip = images.RandomHorizontalFlip(0.25)
    n = sum(flip(X)[0, 0, 0].item() != 0 for _ in range(800))
    assert 150 < n < 250


def test_a_chain_is_fixed_by_the_seed():
    parts = [images.ToTensor(), images.RandomCrop(2), images.RandomHorizontalFlip()]
    chain = images.Compose([*parts, images.Lambda(lambda x: x * 2)])
    a = np.arange(64, dtype=np.uint8).reshape(8, 8)
    runs = []
    for _ in range(2):
        cp.manual_seed(3)
        runs.append([chain(a).tolist() for _ in range(5)])
    assert runs[0] == runs[1]
    assert "RandomCrop(size=(2, 2)" in repr(chain)


@pytest.mark.parametrize(
    ("call", "error", "phrase"),
    [
        (lambda: images.ToTensor()(np.ones(3)), ValueError, "wanted an image"),
        (lambda: images.Normalize([0.0], [1.0])(np.ones((1, 2, 2))), TypeError, "put ToTensor"),
        (lambda: images.Normalize(0.0, 1.0)(cp.ones(1, 2, 2).int()), TypeError, "floating-point"),
        (lambda: images.Normalize([0.0] * 3, 1.0)(X), RuntimeError, "3 means and 1 stds for 2"),
        (lambda: images.Normalize(0.0, 0.0)(X), ValueError, "std is 0"),
        (lambda: images.RandomCrop(9)(X), ValueError, "larger than input image size"),
        (lambda: images.CenterCrop(0), ValueError, "should be positive"),
        (lambda: images.RandomVerticalFlip(2), ValueError, "probability"),
        (lambda: images.CenterCrop(2)(cp.ones(3, 4)), RuntimeError, "channels, height, width"),
    ],
)
def test_mistakes_are_named(call, error, phrase):
    with pytest.raises(error, match=phrase):
        call()
