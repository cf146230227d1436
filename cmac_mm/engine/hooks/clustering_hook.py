"""Rounds of deep clustering."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import HOOKS, MODELS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.samplers.cluster_balanced_sampler import ClusterBalancedSampler
from ...evaluation.functional.clustering_quality import normalized_mutual_information
from ...features.list_files import FeatureFiles, extract_to_files
from ...mining import Clustering, FeatureSource, cluster
from ...models.heads.cluster_head import JOINT
from ...models.selfsup.deep_clustering import DeepClustering
from ...utils import write_bytes
from .common import bare_model, bind_list, list_labels, list_loader


@HOOKS.register_module()
class ClusteringHook(Hook):
    """Hook that begins each round of :class:`DeepClustering` (Alwassel et al. 2020, section 3).

    At the start of an epoch that begins a round: features of the whole training list, in evaluation
    mode and the precision of training; k-means for each source; the labels go to the model and,
    with :class:`ClusterBalancedSampler`, to the sampler; the heads start anew, and the optimiser
    forgets them. Files that are refused get label -1 and are not sampled. The first round takes the
    networks as they were initialised, with the batch norms' means 0 and variances 1.

    Features are in ``clustering/features`` in the work directory, where the next round overwrites
    them; labels, distances and centroids of each round stay in ``clustering/round_NN.npz``. Round,
    labels and centroids are buffers of the model, so they are in every checkpoint: a run that is
    resumed inside a round goes on with them. One that was killed while features were extracted or
    clustered goes on with the features it has, and comes to the same clusters to the last bit.

    Logged, and as ``clustering/...`` in the message hub and the visualizer, for each source:
    normalised mutual information with the last round's clusters and, where the list has any, with
    the labels (which go nowhere but there); the sizes of clusters; how many empty ones were split
    off others.

    Args:
        epochs_per_round (int): Epochs of training a round. Defaults to 1.
        num_rounds (int, optional): Rounds; further epochs go on with the clusters of the last. 0:
            with those of the checkpoint in ``load_from``. Defaults to None: no limit.
        pipeline (list[dict], optional): Transforms that load a video for its features, without
            anything random. Files that training refuses should be refused here. Defaults to None:
            those of the config's ``test_dataloader``.
        batch_size (int): Videos a batch on each rank. Defaults to 32.
        num_workers (int, optional): Loading processes. Defaults to None: as many as in training.
        pca_dim (int, optional): Reduce features to so many dimensions by PCA, whitened, then
            L2-normalised, as DeepCluster does. Defaults to None: no reduction.
        normalize (bool): L2-normalise features before anything else; ``'joint'`` always is.
            Defaults to True.
        max_points_per_centroid (int, optional): K-means sees a sample of so many videos a cluster
            (or component): for lists whose features do not fit into the main rank's memory.
            Defaults to None: all videos, as in DeepCluster.
        restart (Sequence[str]): Encoders of a model with ``num_rounds=0`` that begin with random
            weights, only the clusters being the checkpoint's: XDC's last step, on longer clips.
            Defaults to ().

    Raises:
        ValueError: If a number is out of range; before training, if the model or the training data
            are not of the right kind.
    """

    priority = "ABOVE_NORMAL"  # before the timer, to which this would be slow loading

    def __init__(
        self,
        epochs_per_round: int = 1,
        num_rounds: int | None = None,
        pipeline: list[dict] | None = None,
        batch_size: int = 32,
        num_workers: int | None = None,
        pca_dim: int | None = None,
        normalize: bool = True,
        max_points_per_centroid: int | None = None,
        restart: Sequence[str] = (),
    ) -> None:
        for name, value, least in (
            ("epochs_per_round", epochs_per_round, 1),
            ("num_rounds", num_rounds, 0),
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("pca_dim", pca_dim, 1),
            ("max_points_per_centroid", max_points_per_centroid, 1),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if restart and num_rounds != 0:
            raise ValueError(f"restart goes with num_rounds=0, got num_rounds={num_rounds}")
        self.restart = tuple(restart)
        self.epochs_per_round = epochs_per_round
        self.num_rounds = num_rounds
        self.pipeline = pipeline
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.pca_dim = pca_dim
        self.normalize = normalize
        self.max_points_per_centroid = max_points_per_centroid

    def before_run(self, runner: Runner) -> None:
        """Allocate the labels, before a checkpoint is loaded."""
        if not isinstance(bare_model(runner), DeepClustering):
            raise ValueError(
                f"ClusteringHook needs the model DeepClustering, found "
                f"{type(bare_model(runner)).__name__}"
            )
        bind_list(runner, type(self).__name__)

    def before_train(self, runner: Runner) -> None:
        """Check list and clusters, and find the round."""
        model, dataset = bare_model(runner), runner.train_dataloader.dataset
        if model.balance_own and not isinstance(runner.train_loop.sampler, ClusterBalancedSampler):
            raise ValueError(
                "model.balance_own makes up for ClusterBalancedSampler's balance over other "
                "clusterings: set train_dataloader.sampler.type to it, or balance_own=False"
            )
        if len(dataset) != model.num_videos:
            raise ValueError(
                f"ClusteringHook needs the training list as a whole: it has {model.num_videos} "
                f"rows, the data set {len(dataset)}. For more or fewer clips an epoch set repeats "
                "or samples_per_epoch of the sampler; for a part of the list write a shorter list"
            )
        if self.num_rounds == 0:
            if model.current_round < 0:
                raise ValueError(
                    "num_rounds=0 trains on the clusters of a checkpoint: set load_from to one of "
                    "a run of DeepClustering"
                )
            if runner.iter == 0:
                self._restart(runner, model)
        elif runner.iter == 0:
            model.round.fill_(-1)  # what `load_from` may have brought is no round of this run

    def _restart(self, runner: Runner, model: DeepClustering) -> None:
        """Give encoders, and with them the heads, random weights, the same on all ranks."""
        unknown = set(self.restart) - set(model.encoders)
        if unknown:
            raise ValueError(f"restart: {sorted(unknown)} are none of {model.encoders}")
        seed = runner.train_loop.seed
        for index, name in enumerate(self.restart):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(_mix(seed, index))
                fresh = MODELS.build(runner.cfg.model[f"{name.removesuffix('_2')}_backbone"])
                fresh.init_weights()
            getattr(model, f"{name}_backbone").load_state_dict(fresh.state_dict())
        if self.restart:
            model.head.reset(seed, model.current_round + 1)

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin a round if it is due, and give the clusters to the sampler."""
        model = bare_model(runner)
        number = runner.epoch // self.epochs_per_round
        if self.num_rounds:
            number = min(number, self.num_rounds - 1)
        # What the checkpoint of a resumed run has brought is kept.
        if self.num_rounds != 0 and model.current_round != number:
            self._begin_round(runner, model, number)
        sampler = runner.train_loop.sampler
        if isinstance(sampler, ClusterBalancedSampler):
            sampler.set_labels([model.labels(source).cpu().numpy() for source in model.sources])

    def _begin_round(self, runner: Runner, model: DeepClustering, number: int) -> None:
        seed = runner.train_loop.seed
        start = time.perf_counter()
        files = self._extract(runner, model, number)
        extracted = time.perf_counter()
        rows = np.flatnonzero(~files.refused)
        runner.logger.info(
            f"Round {number}: features of {len(rows)} videos in {extracted - start:.1f} s, "
            f"{int(files.refused.sum())} of {len(files.refused)} files refused"
        )
        record, values = {}, {}
        truth = list_labels(runner)
        for index, source in enumerate(model.sources):
            names = model.encoders if source == JOINT else [source]
            found = cluster(
                FeatureSource(
                    [files.features[f"{name}_feature"] for name in names],
                    rows,
                    normalize=self.normalize or source == JOINT,
                ),
                model.head.num_clusters,
                seed=_mix(seed, number, index),
                pca_dim=self.pca_dim,
                max_points_per_centroid=self.max_points_per_centroid,
            )
            labels = _spread(found.labels, rows, model.num_videos, -1)
            record[f"{source}_labels"] = labels
            record[f"{source}_distances"] = _spread(found.distances, rows, model.num_videos, np.nan)
            record[f"{source}_centroids"] = found.centroids
            others = {"labels": truth} if truth is not None else {}
            if number > 0 and model.current_round == number - 1:
                others["previous"] = model.labels(source)
            for name, other in others.items():
                nmi = normalized_mutual_information(labels, other.cpu().numpy())
                values[f"{source}_nmi_{name}"] = nmi
            values.update(_sizes(source, found))
        if is_main_process():
            _save(Path(runner.work_dir) / f"clustering/round_{number:02d}.npz", record)
        reset = model.begin_round(
            number,
            {source: record[f"{source}_labels"] for source in model.sources},
            {source: record[f"{source}_centroids"] for source in model.sources},
            seed,
        )
        for parameter in reset:
            runner.optim_wrapper.optimizer.state.pop(parameter, None)
        self._log(runner, number, values, time.perf_counter() - extracted)

    def _extract(self, runner: Runner, model: DeepClustering, number: int) -> FeatureFiles:
        """Features of the whole list."""
        loader = list_loader(
            runner, type(self).__name__, self.pipeline, self.batch_size, self.num_workers
        )
        fields = {f"{name}_feature": model.head.channels[name] for name in model.encoders}
        folder = Path(runner.work_dir) / "clustering/features"
        # A run that was killed goes on with its own features, never with another one's.
        key = dict(round=number, run=runner.message_hub.get_info("run_id", ""))
        with runner.optim_wrapper.optim_context(model):  # the precision of training
            return extract_to_files(model, loader, folder, fields, key)

    @staticmethod
    def _log(runner: Runner, number: int, values: dict[str, float], seconds: float) -> None:
        runner.logger.info(
            f"Round {number}: clustered in {seconds:.1f} s: "
            + ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        )
        values = {f"clustering/{name}": value for name, value in values.items()}
        for name, value in values.items():
            runner.message_hub.update_scalar(name, value)
        runner.visualizer.add_scalars(
            {**values, "clustering/round": number, "epoch": runner.epoch}, step=runner.iter
        )


def _mix(*numbers: int) -> int:
    """One seed out of several numbers, of 31 bits as faiss has it."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0]) >> 1


def _spread(values: np.ndarray, rows: np.ndarray, total: int, missing: float) -> np.ndarray:
    """Values of some rows as those of all."""
    result = np.full(total, missing, dtype=values.dtype)
    result[rows] = values
    return result


def _sizes(source: str, found: Clustering) -> dict[str, float]:
    """What tells whether clusters have collapsed."""
    sizes = np.bincount(found.labels, minlength=len(found.centroids))
    return {
        f"{source}_smallest": int(sizes.min()),
        f"{source}_median": float(np.median(sizes)),
        f"{source}_largest": int(sizes.max()),
        f"{source}_split": found.num_split,
    }


def _save(path: Path, record: dict[str, np.ndarray]) -> None:
    content = io.BytesIO()
    np.savez(content, allow_pickle=True, **record)
    write_bytes(path, content.getvalue())
