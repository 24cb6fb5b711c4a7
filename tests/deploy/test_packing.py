"""Packing is lossless and uses the shortest form."""

import math

import pytest
import torch

from gsparse.deploy.packing import FORMS, Packed, pack, unpack

DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int8,
    torch.int64,
    torch.bool,
]


def random_tensor(shape, density, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(1, 100, shape, generator=generator)
    keep = torch.rand(shape, generator=generator) < density
    return (values * keep).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [0.0, 0.004, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(40, 33), (7,), (0, 4), (2, 3, 5), ()])
def test_round_trip(shape, density, dtype):
    tensor = random_tensor(shape, density, dtype, 36313)
    found = unpack(pack(tensor), shape)
    assert found.dtype == dtype
    assert found.shape == tensor.shape
    assert found.equal(tensor)


def test_every_bit_of_a_float_survives():
    tensor = torch.tensor([0.0, -0.0, math.nan, -math.inf, 1e-45, 0.0, -math.nan])
    found = unpack(pack(tensor), (7,))
    assert found.view(torch.int32).equal(tensor.view(torch.int32))


@pytest.mark.parametrize("gap", [0, 1, 254, 255, 256, 509, 510, 511, 70000])
def test_gaps_of_any_length(gap):
    tensor = torch.zeros(3 * gap + 100)
    tensor[[gap, 2 * gap + 1, 2 * gap + 2]] = torch.tensor([3.0, 5.0, 7.0])
    packed = pack(tensor)
    assert unpack(packed, tensor.shape).equal(tensor)
    if gap in (254, 255, 256, 509, 510):
        full, rest = divmod(gap, 255)
        once = [255] * full + [rest]
        assert packed.form == "gaps"
        assert packed.places.tolist() == [*once, *once, 0]


def size_by_hand(tensor, form):
    """Bytes by the definition of a form."""
    entries = tensor.flatten().tolist()
    left = [i for i, value in enumerate(entries) if value != 0]
    if form == "bits":
        places, width = math.ceil(len(entries) / 8), 1
    elif form == "gaps":
        gaps = [b - a - 1 for a, b in zip([-1, *left], left, strict=False)]
        places, width = sum(1 + gap // 255 for gap in gaps), 1
    else:
        runs, now = [0], False
        for value in entries:
            if (value != 0) != now:
                runs, now = [*runs, 0], not now
            runs[-1] += 1
        places, width = len(runs), bytes_of(runs)
    return len(left) * tensor.element_size() + places * width


def bytes_of(numbers):
    largest = max(numbers, default=0)
    return 1 if largest < 2**8 else 2 if largest < 2**16 else 4


@pytest.mark.parametrize(
    ("tensor", "form"),
    [
        (random_tensor((64, 50), 0.3, torch.float32, 52189), "bits"),
        (random_tensor((64, 50), 0.03, torch.float32, 52189), "gaps"),
        (torch.ones(64, 50) * (torch.arange(64) % 9 == 0)[:, None], "runs"),
        (random_tensor((400, 300), 0.003, torch.float32, 20807), "gaps"),
    ],
)
def test_the_shortest_form_is_taken(tensor, form):
    packed = pack(tensor)
    sizes = {form: size_by_hand(tensor, form) for form in FORMS}
    assert packed.form == form
    assert packed.num_bytes == sizes[form] == min(sizes.values())


@pytest.mark.parametrize(
    "packed",
    [
        Packed("bits", torch.ones(1), torch.tensor([1, 0], dtype=torch.uint8)),
        Packed("bits", torch.ones(2), torch.tensor([1], dtype=torch.uint8)),
        Packed("bits", torch.ones(1), torch.tensor([64], dtype=torch.uint8)),
        Packed("gaps", torch.ones(1), torch.tensor([4], dtype=torch.uint8)),
        Packed("gaps", torch.ones(2), torch.tensor([3, -2])),
        Packed("gaps", torch.ones(2), torch.tensor([1])),
        Packed("gaps", torch.ones(1), torch.tensor([256])),
        Packed("gaps", torch.ones(1), torch.tensor([255], dtype=torch.uint8)),
        Packed("runs", torch.ones(1), torch.tensor([2, 1])),
        Packed("runs", torch.ones(1), torch.tensor([5, 1, -2])),
        Packed("maps", torch.ones(1), torch.tensor([1])),
    ],
)
def test_places_that_do_not_fit_are_refused(packed):
    with pytest.raises(ValueError, match=r"'places' must have .* shape \[4\]"):
        unpack(packed, (4,))
