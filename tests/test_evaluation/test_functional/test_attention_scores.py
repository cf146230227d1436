import math

import librosa
import pytest
import torch
import torch.nn.functional as F
from torchaudio.transforms import MelScale

from cmac_mm.evaluation.functional import band_hit, boxes_in_crop, filter_frequencies, pointing_game
from cmac_mm.evaluation.functional.attention import row_frequencies

WHOLE = (0.0, 0.0, 1.0, 1.0)
SHAPE = (100, 200)


def still_box(*corners, frames=10):
    return torch.tensor([corners], dtype=torch.float64).repeat(frames, 1)


def slow_boxes(boxes, fps, times, original_shape, crop, flip):
    """The definition, one clip, frame and corner at a time."""
    height, width = original_shape
    left, top = crop[0] * width, crop[1] * height
    right, bottom = left + crop[2] * width, top + crop[3] * height
    result = []
    for clip in times.tolist():
        for time in clip:
            shown = [i for i in range(len(boxes)) if i / fps <= time + 1e-9]
            x1, y1, x2, y2 = boxes[shown[-1]]
            x1, x2 = max(x1, left), min(x2, right)
            y1, y2 = max(y1, top), min(y2, bottom)
            if x1 >= x2 or y1 >= y2:
                result.append([math.nan] * 4)
                continue
            u1, u2 = (x1 - left) / (right - left), (x2 - left) / (right - left)
            if flip:
                u1, u2 = 1 - u2, 1 - u1
            v1, v2 = (y1 - top) / (bottom - top), (y2 - top) / (bottom - top)
            result.append([u1, v1, u2, v2])
    return torch.tensor(result, dtype=torch.float64).view(*times.shape, 4)


def slow_pointing(attention, boxes):
    num_clips, steps, rows, columns = attention.shape
    frames = boxes.shape[1]
    hits, chances, ceilings, middles = [], [], [], []
    for n in range(num_clips):
        for t in range(steps):
            mine = [boxes[n, i].tolist() for i in range(frames) if i * steps // frames == t]
            mine = [box for box in mine if not math.isnan(box[0])]
            if not mine:
                continue

            def inside(x, y, mine=mine):
                return any(x1 <= x <= x2 and y1 <= y <= y2 for x1, y1, x2, y2 in mine)

            cells = {
                (i, j): inside((j + 0.5) / columns, (i + 0.5) / rows)
                for i in range(rows)
                for j in range(columns)
            }
            values = {cell: attention[n, t][cell].item() for cell in cells}
            largest = [cell for cell in cells if values[cell] == max(values.values())]
            hits.append(sum(cells[cell] for cell in largest) / len(largest))
            chances.append(sum(cells.values()) / len(cells))
            ceilings.append(any(cells.values()))
            middles.append(inside(0.5, 0.5))
    return [sum(x) / len(x) for x in (hits, chances, ceilings, middles)], len(hits)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", [WHOLE, (0.25, 0.0, 0.5, 1.0), (0.1, 0.3, 0.4, 0.6)])
@pytest.mark.parametrize(("steps", "frames", "fps"), [(1, 30, 15.0), (8, 90, 29.97), (13, 9, 5.0)])
def test_boxes_equal_slow_loop(crop, flip, steps, frames, fps):
    generator = torch.Generator().manual_seed(frames)
    corner = torch.rand(frames, 2, generator=generator) * torch.tensor([250.0, 80.0])
    size = 10 + 40 * torch.rand(frames, 2, generator=generator)
    boxes = torch.cat((corner, corner + size), dim=1)
    times = torch.tensor([[0.0], [0.77], [1.9]]) + torch.arange(steps) / steps
    arguments = (fps, times, (120, 300), crop, flip)
    got = boxes_in_crop(boxes, *arguments)
    torch.testing.assert_close(got, slow_boxes(boxes.tolist(), *arguments), equal_nan=True)


def test_boxes_closed_form():
    zero = torch.zeros(1, 1)
    box = still_box(50, 20, 100, 60)
    assert boxes_in_crop(box, 10, zero, SHAPE)[0, 0].tolist() == pytest.approx(
        [0.25, 0.2, 0.5, 0.6]
    )
    # The middle half of the width: pixels 50 to 150.
    crop = (0.25, 0.0, 0.5, 1.0)
    got = boxes_in_crop(box, 10, zero, SHAPE, crop)
    assert got[0, 0].tolist() == pytest.approx([0.0, 0.2, 0.5, 0.6])
    got = boxes_in_crop(box, 10, zero, SHAPE, crop, flip=True)
    assert got[0, 0].tolist() == pytest.approx([0.5, 0.2, 1.0, 0.6])
    # Cut by the crop's edge, then outside of it.
    got = boxes_in_crop(still_box(140, 20, 180, 60), 10, zero, SHAPE, crop)
    assert got[0, 0].tolist() == pytest.approx([0.9, 0.2, 1.0, 0.6])
    assert boxes_in_crop(still_box(150, 20, 180, 60), 10, zero, SHAPE, crop).isnan().all()


def test_boxes_follow_time():
    # The object jumps from left to right after half a second.
    box = torch.cat((still_box(0, 0, 20, 10, frames=5), still_box(100, 0, 120, 10, frames=5)))
    times = torch.tensor([[0.0, 0.49, 0.5], [0.99, 1.0, 70.0]])
    got = boxes_in_crop(box, 10.0, times, SHAPE)
    assert got[..., 0].tolist() == [[0.0, 0.0, 0.5], [0.5, 0.5, 0.5]]
    # The start of every frame belongs to it, whatever the rounding of i / fps.
    boxes = torch.arange(300.0)[:, None] + torch.tensor([0.0, 0.0, 1.0, 1.0])
    boxes = torch.stack((boxes[:, 0], boxes[:, 0] * 0, boxes[:, 2], boxes[:, 2] * 0 + 1), dim=1)
    times = torch.arange(300, dtype=torch.float64)[None] / 29.97
    got = boxes_in_crop(boxes, 29.97, times, (1, 300))[0, :, 0] * 300
    torch.testing.assert_close(got, torch.arange(300, dtype=torch.float64))


@pytest.mark.parametrize(
    ("shape", "frames"), [((1, 1, 1, 1), 1), ((3, 2, 4, 4), 8), ((5, 4, 7, 3), 6)]
)
def test_pointing_game_equals_slow_loop(shape, frames):
    generator = torch.Generator().manual_seed(sum(shape))
    attention = torch.randint(4, shape, generator=generator).float()  # many ties
    corner = torch.rand(shape[0], frames, 2, generator=generator) * 0.5
    boxes = torch.cat((corner, corner + 0.45), dim=-1)
    if len(boxes) > 1:
        boxes[1, : frames // 2 + 1] = math.nan
        boxes[0, 0] = math.nan
    result = pointing_game(attention, boxes)
    expected, count = slow_pointing(attention, boxes)
    got = [result.hit_rate, result.chance, result.ceiling, result.centre]
    assert got == pytest.approx(expected)
    assert (result.count, result.skipped) == (count, shape[0] * shape[1] - count)
    assert (result.skipped > 0) == (len(boxes) > 1)


def test_a_hit_in_any_of_the_maps_frames():
    attention = torch.zeros(1, 2, 4, 4)
    attention[0, :, 0, 0] = 1  # both maps point at the upper left corner
    here, there = [0.0, 0.0, 0.25, 0.25], [0.5, 0.5, 1.0, 1.0]
    result = pointing_game(attention, torch.tensor([[here, there, there, there]]))
    assert result.hit_rate == 0.5  # the first map covers frames 0 and 1
    assert result.chance == pytest.approx((5 / 16 + 4 / 16) / 2)


def test_maximum_of_the_upsampled_map_is_the_judged_point():
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        attention = torch.rand(1, 1, 4, 5, generator=generator)
        upsampled = F.interpolate(attention, (400, 500), mode="bilinear", align_corners=False)
        row, column = divmod(int(upsampled.argmax()), 500)
        # Along the picture's edge bilinear resizing repeats the outer cells: their maximum is a
        # strip, whose inner end is the cell's centre.
        y = min(max((row + 0.5) / 400, 0.125), 0.875)
        x = min(max((column + 0.5) / 500, 0.1), 0.9)
        box = torch.tensor([x - 0.002, y - 0.002, x + 0.002, y + 0.002], dtype=torch.float64)
        assert pointing_game(attention, box.view(1, 1, 4)).hit_rate == 1.0


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", [WHOLE, (0.25, 0.0, 0.5, 1.0), (0.1, 0.2, 0.7, 0.7)])
def test_attention_on_the_object_is_found_through_crop_and_flip(crop, flip):
    # A picture that is bright at the object only, cropped and flipped as pixels, is the attention.
    boxes = torch.stack([torch.tensor([60.0 + 4 * i, 30.0, 80.0 + 4 * i, 60.0]) for i in range(10)])
    maps = []
    for x1, y1, x2, y2 in boxes.long().tolist():
        picture = torch.zeros(SHAPE)
        picture[y1:y2, x1:x2] = torch.rand(y2 - y1, x2 - x1) + 1
        left, top = round(crop[0] * 200), round(crop[1] * 100)
        picture = picture[top : top + round(crop[3] * 100), left : left + round(crop[2] * 200)]
        maps.append(picture.flip(1) if flip else picture)
    attention = torch.stack(maps)[None]
    times = torch.arange(10)[None] / 10
    mapped = boxes_in_crop(boxes, 10, times, SHAPE, crop, flip)
    assert pointing_game(attention, mapped).hit_rate == 1.0
    wrong = boxes_in_crop(boxes, 10, times, SHAPE, crop, not flip)
    assert pointing_game(attention, wrong).hit_rate < 0.5


def test_constant_and_random_maps_are_at_chance():
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 0.5]], [[0.5, 0.0, 1.0, 1.0]]])
    result = pointing_game(torch.full((2, 1, 4, 4), 0.5), boxes)
    assert result.hit_rate == result.chance == pytest.approx((0.25 + 0.5) / 2)
    assert result.ceiling == 1.0
    generator = torch.Generator().manual_seed(0)
    attention = torch.rand(4000, 1, 8, 8, generator=generator)
    corner = torch.rand(4000, 1, 2, generator=generator) * 0.7
    result = pointing_game(attention, torch.cat((corner, corner + 0.3), dim=-1))
    assert result.chance == pytest.approx(0.09, abs=0.01)
    assert result.hit_rate == pytest.approx(result.chance, abs=0.02)


def test_ceiling_tells_of_boxes_between_the_cells():
    boxes = torch.tensor([[[0.3, 0.3, 0.6, 0.6]], [[0.1, 0.1, 0.6, 0.6]]])
    result = pointing_game(torch.rand(2, 1, 2, 2), boxes)  # cell centres 0.25 and 0.75
    assert result.ceiling == 0.5
    assert result.centre == 1.0


def test_visual_bad_input_is_refused():
    attention, boxes = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4)
    for bad in (boxes[:, :2], boxes[:1], boxes[..., :3]):
        with pytest.raises(ValueError, match="boxes \\(N, T, 4\\) with T >= T'"):
            pointing_game(attention, bad)
    with pytest.raises(ValueError, match="in all 6 maps"):
        pointing_game(attention, torch.full((2, 3, 4), math.nan))
    attention[1, 2, 0, 0] = math.nan
    with pytest.raises(ValueError, match="map 1 has values"):
        pointing_game(attention, boxes)
    box, zero = still_box(0, 0, 10, 10), torch.zeros(1, 1)
    with pytest.raises(ValueError, match="frames > 0"):
        boxes_in_crop(box[:0], 10, zero, SHAPE)
    with pytest.raises(ValueError, match="fps"):
        boxes_in_crop(box, 0, zero, SHAPE)
    with pytest.raises(ValueError, match="times"):
        boxes_in_crop(box, 10, zero - 1, SHAPE)
    with pytest.raises(ValueError, match="original_shape"):
        boxes_in_crop(box, 10, zero, (0, 200))
    with pytest.raises(ValueError, match="crop_quadruple"):
        boxes_in_crop(box, 10, zero, SHAPE, (0, 0, 0, 1))


def test_row_frequencies():
    mels = torch.tensor([100.0, 200.0, 300.0, 400.0])
    assert row_frequencies(mels, 4).tolist() == [100, 200, 300, 400]
    assert row_frequencies(mels, 2).tolist() == [150, 350]
    assert row_frequencies(mels, 1).tolist() == [250]
    assert row_frequencies(mels, 3).tolist() == pytest.approx([350 / 3, 250, 1150 / 3])
    with pytest.raises(ValueError, match="5 rows"):
        row_frequencies(mels, 5)


@pytest.mark.parametrize(("count", "rows", "steps", "num_mels"), [(1, 1, 1, 1), (7, 5, 3, 40)])
def test_band_hit_equals_slow_loop(count, rows, steps, num_mels):
    generator = torch.Generator().manual_seed(0)
    attention = torch.randint(3, (count, rows, steps), generator=generator).float()
    low = 50 + 400 * torch.rand(count, generator=generator)
    bands = torch.stack((low, low + 300), dim=1)
    mels = torch.linspace(60, 800, num_mels)
    hits = chances = 0
    for n in range(count):
        largest = attention[n].max().item()
        cells, row_hits = [], []
        for row in range(rows):
            position = (row + 0.5) * num_mels / rows - 0.5
            below = min(max(math.floor(position), 0), num_mels - 1)
            above = min(below + 1, num_mels - 1)
            share = position - below
            frequency = (1 - share) * mels[below].item() + share * mels[above].item()
            row_hits.append(bands[n, 0].item() <= frequency <= bands[n, 1].item())
            cells += [row_hits[-1] for value in attention[n, row] if value.item() == largest]
        hits += sum(cells) / len(cells)
        chances += sum(row_hits) / rows
    result = band_hit(attention, bands, mels)
    assert result.hit_rate == pytest.approx(hits / count)
    assert result.chance == pytest.approx(chances / count)
    assert result.count == count


def test_band_hit_closed_form():
    mels = torch.tensor([100.0, 200.0, 300.0, 400.0])
    attention = torch.zeros(2, 4, 3)
    attention[0, 1, 2] = 1.0  # 200 Hz
    attention[1, 3, 0] = 1.0  # 400 Hz
    bands = torch.tensor([[150.0, 320.0], [150.0, 320.0]])
    result = band_hit(attention, bands, mels)
    assert (result.hit_rate, result.chance, result.ceiling) == (0.5, 0.5, 1.0)
    narrow = torch.tensor([[210.0, 220.0], [390.0, 410.0]])
    result = band_hit(attention, narrow, mels)
    assert (result.hit_rate, result.chance, result.ceiling) == (0.5, 0.125, 0.5)
    assert result.centre is None


def test_audio_bad_input_is_refused():
    mels = torch.linspace(100, 1000, 16)
    with pytest.raises(ValueError, match="bands \\(N, 2\\)"):
        band_hit(torch.rand(2, 4, 3), torch.rand(3, 2), mels)
    with pytest.raises(ValueError, match="N > 0"):
        band_hit(torch.rand(0, 4, 3), torch.rand(0, 2), mels)
    with pytest.raises(ValueError, match="map 0"):
        band_hit(torch.full((1, 4, 3), math.nan), torch.rand(1, 2), mels)


@pytest.mark.parametrize("mel_scale", ["htk", "slaney"])
def test_filter_frequencies_are_those_of_librosa(mel_scale):
    scale = MelScale(40, 24000, n_stft=4097, f_min=50.0, mel_scale=mel_scale)
    got = filter_frequencies(scale.fb, 24000)
    edges = librosa.mel_frequencies(42, fmin=50.0, fmax=12000, htk=mel_scale == "htk")
    # The mean of a triangle is the mean of its three corners.
    corners = torch.tensor(edges).unfold(0, 3, 1).mean(dim=1)
    torch.testing.assert_close(got, corners.double(), rtol=2e-3, atol=0.5)
