import math

import librosa
import pytest
import torch
import torch.nn.functional as F
from torchaudio.transforms import MelScale

from cmac_mm.evaluation import band_hit, boxes_in_crop, filter_frequencies, pointing_game
from cmac_mm.evaluation.localisation import row_frequencies

STILL = {"fps": 10.0, "original_shape": (100, 200), "clip_start": [0.0], "clip_duration": 1.0}
WHOLE = (0.0, 0.0, 1.0, 1.0)


def still_box(*corners, frames=10):
    return torch.tensor([corners], dtype=torch.float64).repeat(frames, 1)


def slow_boxes(boxes, fps, original_shape, crop, flip, clip_start, clip_duration, num_steps):
    """The definition, one clip, step, frame and corner at a time."""
    height, width = original_shape
    result = []
    for start in clip_start:
        for step in range(num_steps):
            begin = start + step * clip_duration / num_steps
            end = start + (step + 1) * clip_duration / num_steps
            chosen = [b for i, b in enumerate(boxes) if begin <= (i + 0.5) / fps < end]
            if not chosen:
                gaps = [abs((i + 0.5) / fps - (begin + end) / 2) for i in range(len(boxes))]
                chosen = [boxes[gaps.index(min(gaps))]]
            x1, y1, x2, y2 = (sum(b[c] for b in chosen) / len(chosen) for c in range(4))
            left, top = crop[0] * width, crop[1] * height
            right, bottom = left + crop[2] * width, top + crop[3] * height
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
    return torch.tensor(result, dtype=torch.float64).view(len(clip_start), num_steps, 4)


def slow_pointing(attention, boxes):
    hits = chances = count = middles = 0
    for n in range(attention.shape[0]):
        for t in range(attention.shape[1]):
            x1, y1, x2, y2 = boxes[n, t].tolist()
            if math.isnan(x1):
                continue
            count += 1
            chances += (x2 - x1) * (y2 - y1)
            middles += x1 <= 0.5 <= x2 and y1 <= 0.5 <= y2
            largest, cells = -math.inf, []
            for i, row in enumerate(attention[n, t].tolist()):
                for j, value in enumerate(row):
                    if value > largest:
                        largest, cells = value, []
                    if value == largest:
                        y, x = (i + 0.5) / attention.shape[2], (j + 0.5) / attention.shape[3]
                        cells.append(x1 <= x <= x2 and y1 <= y <= y2)
            hits += sum(cells) / len(cells)
    return hits / count, chances / count, middles / count, count


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", [WHOLE, (0.25, 0.0, 0.5, 1.0), (0.1, 0.3, 0.4, 0.6)])
@pytest.mark.parametrize(("steps", "frames", "fps"), [(1, 30, 15.0), (4, 90, 29.97), (13, 20, 5.0)])
def test_boxes_equal_slow_loop(crop, flip, steps, frames, fps):
    generator = torch.Generator().manual_seed(frames)
    corner = torch.rand(frames, 2, generator=generator) * torch.tensor([250.0, 80.0])
    size = 10 + 40 * torch.rand(frames, 2, generator=generator)
    boxes = torch.cat((corner, corner + size), dim=1)
    arguments = (fps, (120, 300), crop, flip, [0.0, 0.77, 1.87], 1.0, steps)
    got = boxes_in_crop(boxes, *arguments)
    torch.testing.assert_close(got, slow_boxes(boxes.tolist(), *arguments), equal_nan=True)


def test_boxes_closed_form():
    box = still_box(50, 20, 100, 60)
    got = boxes_in_crop(box, crop_quadruple=WHOLE, flip=False, num_steps=1, **STILL)
    assert got[0, 0].tolist() == pytest.approx([0.25, 0.2, 0.5, 0.6])
    # The middle half of the width: pixels 50 to 150.
    crop = (0.25, 0.0, 0.5, 1.0)
    got = boxes_in_crop(box, crop_quadruple=crop, flip=False, num_steps=1, **STILL)
    assert got[0, 0].tolist() == pytest.approx([0.0, 0.2, 0.5, 0.6])
    got = boxes_in_crop(box, crop_quadruple=crop, flip=True, num_steps=1, **STILL)
    assert got[0, 0].tolist() == pytest.approx([0.5, 0.2, 1.0, 0.6])
    # Cut by the crop's edge, then outside of it.
    box = still_box(140, 20, 180, 60)
    got = boxes_in_crop(box, crop_quadruple=crop, flip=False, num_steps=1, **STILL)
    assert got[0, 0].tolist() == pytest.approx([0.9, 0.2, 1.0, 0.6])
    box = still_box(150, 20, 180, 60)
    assert boxes_in_crop(box, crop_quadruple=crop, flip=False, num_steps=1, **STILL).isnan().all()


def test_boxes_follow_time():
    # The object jumps from left to right after half a second.
    box = torch.cat((still_box(0, 0, 20, 10, frames=5), still_box(100, 0, 120, 10, frames=5)))
    got = boxes_in_crop(box, crop_quadruple=WHOLE, flip=False, num_steps=2, **STILL)
    assert got[0, :, 0].tolist() == pytest.approx([0.0, 0.5])
    got = boxes_in_crop(box, crop_quadruple=WHOLE, flip=False, num_steps=1, **STILL)
    assert got[0, 0, 0].item() == pytest.approx(0.25)
    late = {**STILL, "clip_start": [0.5, 7.0]}  # the second clip starts after the last frame
    got = boxes_in_crop(box, crop_quadruple=WHOLE, flip=False, num_steps=1, **late)
    assert got[:, 0, 0].tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 2, 4, 4), (5, 4, 7, 3)])
def test_pointing_game_equals_slow_loop(shape):
    generator = torch.Generator().manual_seed(sum(shape))
    attention = torch.randint(4, shape, generator=generator).float()  # many ties
    corner = torch.rand(*shape[:2], 2, generator=generator) * 0.5
    boxes = torch.cat((corner, corner + 0.45), dim=-1)
    if len(boxes) > 1:
        boxes[1, 0] = math.nan
    result = pointing_game(attention, boxes)
    hit_rate, chance, middle, count = slow_pointing(attention, boxes)
    assert result.hit_rate == pytest.approx(hit_rate)
    assert result.chance == pytest.approx(chance)
    assert result.centre == pytest.approx(middle)
    assert (result.count, result.skipped) == (count, shape[0] * shape[1] - count)


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
    for frame_pair in boxes.view(5, 2, 4).mean(dim=1):
        x1, y1, x2, y2 = (int(value) for value in frame_pair)
        picture = torch.zeros(100, 200)
        picture[y1:y2, x1:x2] = torch.rand(y2 - y1, x2 - x1) + 1
        left, top = round(crop[0] * 200), round(crop[1] * 100)
        picture = picture[top : top + round(crop[3] * 100), left : left + round(crop[2] * 200)]
        maps.append(picture.flip(1) if flip else picture)
    attention = torch.stack(maps)[None]
    mapped = boxes_in_crop(boxes, crop_quadruple=crop, flip=flip, num_steps=5, **STILL)
    assert pointing_game(attention, mapped).hit_rate == 1.0
    wrong = boxes_in_crop(boxes, crop_quadruple=crop, flip=not flip, num_steps=5, **STILL)
    assert pointing_game(attention, wrong).hit_rate < 1.0


def test_constant_and_random_maps_are_at_chance():
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 0.5]], [[0.5, 0.0, 1.0, 1.0]]])
    result = pointing_game(torch.full((2, 1, 4, 4), 0.5), boxes)
    assert result.hit_rate == result.chance == pytest.approx((0.25 + 0.5) / 2)
    assert result.ceiling == 1.0
    generator = torch.Generator().manual_seed(0)
    attention = torch.rand(4000, 1, 8, 8, generator=generator)
    corner = torch.rand(4000, 1, 2, generator=generator) * 0.7
    result = pointing_game(attention, torch.cat((corner, corner + 0.3), dim=-1))
    assert result.chance == pytest.approx(0.09)
    assert result.hit_rate == pytest.approx(0.09, abs=0.02)


def test_ceiling_tells_of_boxes_between_the_cells():
    boxes = torch.tensor([[[0.3, 0.3, 0.6, 0.6]], [[0.1, 0.1, 0.6, 0.6]]])
    result = pointing_game(torch.rand(2, 1, 2, 2), boxes)  # cell centres 0.25 and 0.75
    assert result.ceiling == 0.5
    assert result.centre == 1.0


def test_visual_bad_input_is_refused():
    attention, boxes = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4)
    with pytest.raises(ValueError, match="boxes \\(N, T', 4\\)"):
        pointing_game(attention, boxes[:, :2])
    with pytest.raises(ValueError, match="all 6 objects are outside"):
        pointing_game(attention, torch.full((2, 3, 4), math.nan))
    attention[1, 2, 0, 0] = math.nan
    with pytest.raises(ValueError, match="map 1 has values"):
        pointing_game(attention, boxes)
    box = still_box(0, 0, 10, 10)
    arguments = {"crop_quadruple": WHOLE, "flip": False, "num_steps": 1, **STILL}
    with pytest.raises(ValueError, match="frames > 0"):
        boxes_in_crop(box[:0], **arguments)
    for key, value in {"fps": 0, "num_steps": 0, "clip_duration": -1.0}.items():
        with pytest.raises(ValueError, match=key):
            boxes_in_crop(box, **{**arguments, key: value})
    with pytest.raises(ValueError, match="crop_quadruple"):
        boxes_in_crop(box, **{**arguments, "crop_quadruple": (0, 0, 0, 1)})


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
