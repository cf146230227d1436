"""Positives by cross-modal agreement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

import torch
from mmengine import dist
from torch import Tensor

from ..utils.dist import gather_batch, split_sizes, wait_for_all_ranks

_MODES: dict[str, Callable[..., Tensor]] = {
    "min": torch.minimum,
    "max": torch.maximum,
    "visual": lambda visual, audio: visual,
    "audio": lambda visual, audio: audio,
}
_GROUP = 32  # columns of a block that are looked at only if the largest of them is large enough
_LOWEST = torch.finfo(torch.float32).min / 4  # above -inf, which is no candidate
_SLACK = 1e-5  # of the bounds below; sums of products in float32 are well within it


@torch.no_grad()
def mine_positives(
    visual_bank: Tensor,
    audio_bank: Tensor,
    num_positives: int = 32,
    mode: str = "min",
    chunk_size: int | None = None,
    dtype: torch.dtype | None = None,
    rows: slice | Tensor | None = None,
    left_out: Tensor | None = None,
) -> Tensor:
    """Mine the positives of each video by cross-modal agreement (AVID, eq. 6 and 7).

    rho_ij = min(v_i . v_j, a_i . a_j) of all j but i itself, in double precision, rounded to
    float32; of equal ones the lower row comes first. The result is exact: the products of whole
    blocks in ``dtype`` only sort out what cannot be among the largest, by a bound on their error.
    Memory beside the banks, a copy of them in ``dtype`` and the result is that of a few blocks.

    Args:
        visual_bank (Tensor): Unit rows `(N, D)`, float32.
        audio_bank (Tensor): Unit rows `(N, D)`, float32, on the same device.
        num_positives (int): K. Defaults to 32.
        mode (str): ``'min'``, cross-modal agreement, or an expansion baseline of the paper's
            Figure 4: ``'visual'``, ``'audio'``, ``'max'``. Defaults to ``'min'``.
        chunk_size (int, optional): Rows of a block; it has 4 times as many columns. Defaults to
            None: 512 on a CPU, 2048 on a GPU.
        dtype (torch.dtype, optional): ``torch.bfloat16``, ``torch.float16`` or ``torch.float32``.
            Where all rows are so alike that a shorter one sorts out too little, float32 is taken
            instead. Defaults to None: bfloat16 where the device has instructions for it.
        rows (slice | Tensor, optional): Rows to mine for. Defaults to None: all.
        left_out (Tensor, optional): Videos that are nobody's positives and have none `(N,)`, bool.
            Defaults to None: no video.

    Returns:
        Tensor: Row numbers `(rows, K)`, long, best first; -1 where there are fewer.

    Raises:
        ValueError: If an argument is out of range, or a bank holds values that are not finite.
    """
    if visual_bank.shape != audio_bank.shape or visual_bank.ndim != 2 or len(visual_bank) < 2:
        raise ValueError(
            f"expected two banks of one shape (N, D) with N >= 2, got {tuple(visual_bank.shape)} "
            f"and {tuple(audio_bank.shape)}"
        )
    if mode not in _MODES:
        raise ValueError(f"mode must be one of {sorted(_MODES)}, got {mode!r}")
    if dtype not in (None, torch.bfloat16, torch.float16, torch.float32):
        raise ValueError(f"dtype must be bfloat16, float16 or float32, got {dtype}")
    if chunk_size is None:
        chunk_size = 512 if visual_bank.device.type == "cpu" else 2048
    if num_positives < 1 or chunk_size < 1:
        raise ValueError(
            f"num_positives and chunk_size must be at least 1, got {num_positives}, {chunk_size}"
        )
    for name, bank in (("visual", visual_bank), ("audio", audio_bank)):
        if not bank.sum().isfinite():
            raise ValueError(f"{name}_bank holds values that are not finite")
    every = torch.arange(len(visual_bank), device=visual_bank.device)
    rows = every if rows is None else every[rows]
    search = _Search(visual_bank, audio_bank, num_positives, mode, chunk_size, left_out)
    with _sums_in_float32():
        found = search(rows, dtype or _fast_dtype(visual_bank.device))
    return found if left_out is None else found.masked_fill(left_out[rows, None], -1)


def mine_positives_on_all_ranks(
    visual_bank: Tensor, audio_bank: Tensor, **kwargs: object
) -> Tensor:
    """Run :func:`mine_positives` on all ranks, each for a share of the rows.

    Args:
        visual_bank (Tensor): Unit rows `(N, D)`, the same on all ranks.
        audio_bank (Tensor): Unit rows `(N, D)`, the same on all ranks.
        **kwargs: Of :func:`mine_positives`, except ``rows``.

    Returns:
        Tensor: Row numbers `(N, K)`, int32.
    """
    sizes = split_sizes(len(visual_bank), dist.get_world_size())
    start = sum(sizes[: dist.get_rank()])
    rows = slice(start, start + sizes[dist.get_rank()])
    found = mine_positives(visual_bank, audio_bank, rows=rows, **kwargs)
    wait_for_all_ranks()
    return gather_batch(found.int(), sizes)


@contextmanager
def _sums_in_float32() -> Iterator[None]:
    """On a GPU PyTorch may round parts of a sum to the dtype; the bounds do not allow for that."""
    flags = torch.backends.cuda.matmul
    names = [f"allow_{kind}_reduced_precision_reduction" for kind in ("bf16", "fp16")]
    before = [getattr(flags, name) for name in names]
    try:
        for name in names:
            setattr(flags, name, False)
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(flags, name, value)


def _fast_dtype(device: torch.device) -> torch.dtype:
    """Bfloat16, unless the device would have to emulate it."""
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if native else torch.float16
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = any(value for name, value in capabilities.items() if name.endswith("bf16"))
    return torch.bfloat16 if fast else torch.float32


class _Products:
    """The banks in the precision of the blocks, and how far products in it are from the true ones.

    Args:
        banks (Sequence[Tensor]): Rows `(N, D)`.
        dtype (torch.dtype): Of the products.
        chunk_size (int): Rows looked at at a time.
    """

    def __init__(self, banks: Sequence[Tensor], dtype: torch.dtype, chunk_size: int) -> None:
        self.dtype = dtype
        self.copies = [bank.to(dtype) for bank in banks]
        self.error = max(_product_error(bank, dtype, chunk_size) for bank in banks)
        self.rounding = 0.0 if dtype == torch.float32 else torch.finfo(dtype).eps / 2


class _TooManyError(Exception):
    """The products in low precision leave too many candidates."""


class _Search:
    """The search of :func:`mine_positives`, whose arguments these are."""

    def __init__(
        self,
        visual: Tensor,
        audio: Tensor,
        num_positives: int,
        mode: str,
        chunk_size: int,
        left_out: Tensor | None,
    ) -> None:
        used = {"visual": (visual,), "audio": (audio,)}
        self.banks = used.get(mode, (visual, audio))
        self.combine = _MODES[mode] if len(self.banks) == 2 else None
        self.num_positives = num_positives
        self.left_out = left_out
        self.height = chunk_size
        width = min(4 * max(chunk_size, 2 * num_positives), len(visual))
        self.width = _GROUP * -(-width // _GROUP)
        self.lock = Lock()

    def __call__(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        found = rows.new_full((len(rows), self.num_positives), -1)
        if len(rows) == 0:
            return found
        self.products = _Products(self.banks, dtype, self.height)
        chunks = zip(rows.split(self.height), found.split(self.height), strict=True)
        if rows.device.type != "cpu":
            for rows_of_chunk, found_of_chunk in chunks:
                self._search(rows_of_chunk, found_of_chunk)
            return found
        # A thread for each chunk, instead of several for each of thousands of small operations.
        threads = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(
                threads, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool:
                list(pool.map(lambda chunk: self._search(*chunk), chunks))
        finally:
            torch.set_num_threads(threads)
        return found

    def _search(self, rows: Tensor, found: Tensor) -> None:
        """Fill in what is found for a chunk of rows."""
        products = self.products
        try:
            candidates = self._candidates(rows, products)
        except _TooManyError:
            with self.lock:
                if self.products is products:  # no other thread was first
                    self.products = _Products(self.banks, torch.float32, self.height)
            candidates = self._candidates(rows, self.products)
        best = self._rank(rows, candidates)[1][:, : self.num_positives]
        found[:, : best.shape[1]] = best

    def _candidates(self, rows: Tensor, products: _Products) -> Tensor:
        """Columns `(R, M)` that hold the best of each row; -1 fills up."""
        pool = _Pool(
            len(rows),
            2 * self.width,
            self.num_positives,
            products.error,
            products.rounding,
            rows.device,
        )
        seen = 0  # columns behind the present thresholds
        for start, block in self._blocks(rows, products):
            pool.add(block, start)
            if start + block.shape[1] >= 2 * seen or pool.size > self.width:
                seen = start + block.shape[1]
                pool.shrink()
                if pool.size > self.width // 2:
                    if products.dtype != torch.float32:
                        raise _TooManyError
                    # Equal up to rounding: decide now who stays.
                    best = self._rank(rows, pool.columns[:, : pool.size])
                    pool.replace(*(part[:, : self.num_positives] for part in best))
        pool.shrink()
        return pool.columns[:, : pool.size]

    def _blocks(self, rows: Tensor, products: _Products) -> Iterator[tuple[int, Tensor]]:
        """Similarities of the rows to one block of columns after the other.

        Those of a row to itself or to a video left out, and what fills up the last block, are
        -inf.
        """
        num_columns = len(self.banks[0])
        queries = [copy[rows] for copy in products.copies]
        outs = [query.new_empty(len(rows), self.width) for query in queries]
        for start in range(0, num_columns, self.width):
            stop = min(start + self.width, num_columns)
            for query, copy, out in zip(queries, products.copies, outs, strict=True):
                if stop - start == self.width:
                    torch.mm(query, copy[start:stop].t(), out=out)
                else:
                    out.fill_(-torch.inf)[:, : stop - start] = query @ copy[start:stop].t()
            block = outs[0]
            if self.combine is not None:
                self.combine(outs[0], outs[1], out=block)
            own = ((rows >= start) & (rows < stop)).nonzero().squeeze(1)
            block[own, rows[own] - start] = -torch.inf
            if self.left_out is not None:
                block[:, : stop - start].masked_fill_(self.left_out[start:stop], -torch.inf)
            yield start, block

    def _rank(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Exact similarities and columns, both `(R, M)`, best first; -inf and -1 fill up."""
        # Equal similarities stay in the order of the columns.
        columns = columns.where(columns >= 0, len(self.banks[0])).sort(dim=1).values
        empty = columns == len(self.banks[0])
        columns = columns.masked_fill(empty, 0)
        scores = torch.empty(columns.shape, device=columns.device)
        # Few at a time, so that the gathered rows stay in the cache.
        share = max(1, 512 * self.height // max(1, columns.shape[1] * self.banks[0].shape[1]))
        for part in torch.arange(len(rows), device=rows.device).split(share):
            exact = [
                (bank[columns[part]].double() @ bank[rows[part]].double()[:, :, None]).squeeze(2)
                for bank in self.banks
            ]
            scores[part] = (exact[0] if self.combine is None else self.combine(*exact)).float()
        scores.masked_fill_(empty, -torch.inf)
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        return scores, columns.masked_fill(empty, -1).gather(1, order)


class _Pool:
    """Columns that may be among the best K of each row, with their similarities.

    Args:
        height (int): Rows.
        width (int): Columns that there is room for.
        num_best (int): K.
        error (float): Bound of the similarities' absolute error.
        rounding (float): Bound of a further, relative one.
        device (torch.device): Where.
    """

    def __init__(
        self,
        height: int,
        width: int,
        num_best: int,
        error: float,
        rounding: float,
        device: torch.device,
    ) -> None:
        self.num_best = num_best
        self.error = error
        self.rounding = rounding
        self.values = torch.empty(height, width, device=device)
        self.columns = torch.empty(height, width, dtype=torch.long, device=device)
        self.fill = torch.zeros(height, dtype=torch.long, device=device)
        self.size = 0  # the largest of fill
        self.threshold = torch.full((height,), _LOWEST, device=device)

    def add(self, block: Tensor, first_column: int) -> None:
        """Take what is above the rows' thresholds out of a block `(height, C)`."""
        # A row's neighbouring columns are not a group: of columns C / _GROUP apart, the largest
        # are found in whole vectors.
        stride = block.shape[1] // _GROUP
        groups = block.view(len(block), _GROUP, stride)
        largest = groups.amax(1).float()
        if first_column == 0 and stride >= self.num_best:
            # The K-th best is no smaller than the K-th best of the groups' largest.
            self._raise_threshold(largest.topk(self.num_best, dim=1).values[:, -1])
        row, group = (largest >= self.threshold[:, None]).nonzero(as_tuple=True)
        values = groups[row, :, group].float()
        hit, member = (values >= self.threshold[row, None]).nonzero(as_tuple=True)
        row, column = row[hit], first_column + member * stride + group[hit]
        count = torch.bincount(row, minlength=len(block))
        place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        place += self.fill[row]
        self.values[row, place] = values[hit, member]
        self.columns[row, place] = column
        self.fill += count
        self.size = int(self.fill.max())

    def shrink(self) -> None:
        """Raise the thresholds, and drop what is below."""
        used = torch.arange(self.size, device=self.fill.device) < self.fill[:, None]
        values = self.values[:, : self.size].masked_fill(~used, -torch.inf)
        values, order = values.sort(dim=1, descending=True)
        if self.size >= self.num_best:
            self._raise_threshold(values[:, self.num_best - 1])
        self.fill = (values >= self.threshold[:, None]).sum(1)
        values = values[:, : int(self.fill.max())]
        columns = self.columns.gather(1, order[:, : values.shape[1]])
        self.replace(values, columns.masked_fill(values < self.threshold[:, None], -1))

    def _raise_threshold(self, kth: Tensor) -> None:
        """Take note of the K-th best similarities `(height,)`, -inf where there are fewer."""
        # The K-th best may be smaller than it seems, and what is larger may seem smaller.
        kth = kth.clamp_min(_LOWEST)
        error = self.error + self.rounding * (1.02 * kth.abs() + 2 * self.error)
        self.threshold = (kth - 2 * error).clamp_min(_LOWEST)

    def replace(self, values: Tensor, columns: Tensor) -> None:
        """Put in place of what is there other values and columns `(height, M)`, best first."""
        self.size = values.shape[1]
        self.fill.clamp_(max=self.size)
        self.values[:, : self.size] = values
        self.columns[:, : self.size] = columns


def _product_error(bank: Tensor, dtype: torch.dtype, chunk_size: int) -> float:
    """Bound of the error of products of rows in ``dtype``, summed up in float32, unrounded."""
    longest = max(part.norm(dim=1).max().item() for part in bank.split(64 * chunk_size))
    if dtype == torch.float32:
        # PyTorch may be told to multiply with fewer bits.
        bits = {"highest": 24, "high": 11, "medium": 8}[torch.get_float32_matmul_precision()]
        shortening = 0.0 if bits == 24 else 2.0**-bits * longest
    else:
        shortening = max(
            (part.to(dtype).float() - part).norm(dim=1).max().item()
            for part in bank.split(64 * chunk_size)
        )
    return shortening * (2 * longest + shortening) + _SLACK * max(1.0, longest**2)
