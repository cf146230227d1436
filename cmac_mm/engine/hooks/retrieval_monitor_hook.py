"""Retrieval with the encoders' features during pretraining."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from mmaction.registry import DATASETS, HOOKS
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from ...evaluation.functional import chance_recall, recall_at_k
from ...features import extract_features
from ...utils import fixed_random_state
from .common import bare_model


@HOOKS.register_module()
class RetrievalMonitorHook(Hook):
    """Class-level retrieval with both encoders' features every few epochs, on a small labelled set.

    Queries search the gallery by cosine; logged are the shares that find their class among the k
    nearest (R@1 is the accuracy of a nearest-neighbour classifier) and what chance would give, in
    the log, and as ``monitor/visual_R@1``, ... in the message hub and the visualizer. Training is
    the same with and without it: weights, statistics and random states are left as they are.
    Labels go nowhere but here.

    Args:
        gallery (dict, optional): Config of the labelled data set that is searched. Defaults to
            None: the training list, through the test data set's pipeline; files that cannot be
            used are replaced as in training.
        query (dict, optional): Config of the labelled data set that searches. Defaults to None:
            the config's test data set.
        interval (int): Epochs between two looks. Defaults to 1.
        num_gallery (int): Videos taken from the gallery, drawn with ``seed``. Defaults to 1024.
        num_query (int): Videos taken from the queries. Defaults to 256.
        ks (Sequence[int]): Ranks to log. Defaults to (1, 5).
        batch_size (int): Videos a batch on each rank. Defaults to 4.
        num_workers (int): Loading processes, alive only while it looks. Defaults to 2.
        seed (int): Seed of the choice of videos and of random draws. Defaults to 0.

    Raises:
        ValueError: If a number is out of range; at the first look, if a list has no labels.
    """

    priority = "LOW"  # after the hook that averages the batch norms' statistics over ranks

    def __init__(
        self,
        gallery: dict | None = None,
        query: dict | None = None,
        interval: int = 1,
        num_gallery: int = 1024,
        num_query: int = 256,
        ks: Sequence[int] = (1, 5),
        batch_size: int = 4,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        for name, value in (
            ("interval", interval),
            ("num_query", num_query),
            ("batch_size", batch_size),
            *(("ks", k) for k in ks),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not ks or num_gallery < max(ks):
            raise ValueError(f"num_gallery must be at least the largest of ks, {ks}: {num_gallery}")
        self.gallery = gallery
        self.query = query
        self.interval = interval
        self.num_gallery = num_gallery
        self.num_query = num_query
        self.ks = tuple(ks)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self._subsets: dict[str, Dataset] = {}

    def after_train_epoch(self, runner: Runner) -> None:
        """Evaluate every ``interval`` epochs."""
        if not self.every_n_epochs(runner, self.interval):
            return
        model = bare_model(runner)
        with fixed_random_state(self.seed):
            parts = {
                name: extract_features(model, self._loader(runner, name), progress=False)
                for name in ("gallery", "query")
            }
        scores = self._score(parts)
        epoch = runner.epoch + 1
        runner.logger.info(
            f"Monitor, epoch {epoch}: "
            + ", ".join(f"{name} {100 * value:.1f} %" for name, value in scores.items())
        )
        scores = {f"monitor/{name}": value for name, value in scores.items()}
        for name, value in scores.items():
            runner.message_hub.update_scalar(name, value)
        runner.visualizer.add_scalars({**scores, "epoch": epoch}, step=runner.iter)

    def _score(self, parts: dict[str, dict[str, torch.Tensor]]) -> dict[str, float]:
        """Recalls of both modalities, and chance."""
        for name, part in parts.items():
            if "label" not in part:
                raise ValueError(
                    f"RetrievalMonitorHook: the {name} list has no labels; expected lines 'path "
                    "label', or other data sets in the hook's arguments gallery and query"
                )
        gallery, query = parts["gallery"], parts["query"]
        ks = [k for k in self.ks if k <= len(gallery["label"])]
        scores = {}
        for modality in ("visual", "audio"):
            key = f"{modality}_feature"
            if key in gallery:
                recalls = recall_at_k(
                    query[key], gallery[key], query["label"], gallery["label"], ks
                )
                scores.update({f"{modality}_R@{k}": value for k, value in recalls.items()})
        chance = chance_recall(query["label"], gallery["label"], ks)
        scores.update({f"chance_R@{k}": value for k, value in chance.items()})
        return scores

    def _loader(self, runner: Runner, name: str) -> DataLoader:
        if name not in self._subsets:
            self._subsets[name] = self._build(runner, name)
        cfg = dict(
            dataset=self._subsets[name],
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="default_collate"),
        )
        return Runner.build_dataloader(cfg, seed=self.seed)

    def _build(self, runner: Runner, name: str) -> Dataset:
        """The chosen part of one data set."""
        cfg = copy.deepcopy(self.gallery if name == "gallery" else self.query)
        if cfg is None:
            cfg = self._default(runner, name)
        dataset = DATASETS.build(cfg)
        count = {"gallery": self.num_gallery, "query": self.num_query}[name]
        if len(dataset) <= count:
            return dataset
        rows = np.random.default_rng(self.seed).permutation(len(dataset))[:count]
        return dataset.get_subset(sorted(rows.tolist()))

    @staticmethod
    def _default(runner: Runner, name: str) -> ConfigDict:
        """The config's own lists."""
        if runner.cfg.get("test_dataloader") is None:
            raise ValueError(
                "RetrievalMonitorHook: the config has no test_dataloader: give the hook's "
                "arguments gallery and query"
            )
        cfg = copy.deepcopy(runner.cfg.test_dataloader.dataset)
        if name == "gallery":
            training = runner.cfg.train_dataloader.dataset
            cfg.update(ann_file=training.ann_file, data_prefix=training.data_prefix)
            cfg.test_mode = False
        return cfg
