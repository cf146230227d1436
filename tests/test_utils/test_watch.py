import torch

from cmac_mm.utils import Watch


def test_asks_again_only_after_a_change():
    asked = []

    def look(tensor):
        asked.append(tensor)
        return float(tensor.sum())

    watch, values = Watch(look), torch.ones(3)
    assert [watch(values) for _ in range(3)] == [3, 3, 3] and len(asked) == 1
    values[1] = 5
    assert watch(values) == watch(values) == 7 and len(asked) == 2
    values.copy_(torch.zeros(3))
    assert watch(values) == 0 and len(asked) == 3
    assert watch(values.clone().fill_(1)) == 3 and watch(values) == 0
