"""Look at and listen to clusters: python tools/analysis/cluster_page.py CONFIG ROUND_NPZ.

Reads a round of deep clustering (WORK_DIR/clustering/round_NN.npz), the training list of the config
and the files themselves, and writes one HTML page that needs no network: a table of the clusters
with their three most frequent classes, ranked by purity (by size where the list has no labels), and
of each cluster the clips nearest to its centroid with their spectrograms and playable sound.
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config that was trained, or cmac_mm::NAME")
    parser.add_argument("record", type=Path, help="record of a round, round_NN.npz")
    parser.add_argument(
        "--source",
        nargs="+",
        metavar="NAME",
        help="what was clustered: visual, audio, joint, ... (default: all in the record)",
    )
    parser.add_argument(
        "--clusters",
        type=int,
        default=20,
        help="clusters of a source whose clips are shown, half of them from the top and half from "
        "the bottom of the ranking; the table has all (20)",
    )
    parser.add_argument("--clips", type=int, default=10, help="clips a cluster (10)")
    parser.add_argument(
        "--classes", type=Path, help="text file of the classes, one a line (default: numbers)"
    )
    parser.add_argument(
        "--out", type=Path, help="page to write (default: beside the record, round_NN.html)"
    )
    parser.add_argument(
        "--workers", type=int, help="processes that read files (default: one a core)"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="set variables or override fields of the config, e.g. data_root=DIR",
    )
    args = parser.parse_args()
    if args.clusters < 1 or args.clips < 1:
        parser.error("--clusters and --clips must be at least 1")
    args.out = args.out or args.record.with_suffix(".html")
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

import numpy as np
from mmaction.registry import DATASETS
from mmengine.registry import init_default_scope

import cmac_mm  # noqa: F401
from cmac_mm.evaluation.functional import purity_table
from cmac_mm.utils import load_config, read_arrays, read_classes
from cmac_mm.visualization import (
    PageClip,
    PageCluster,
    choose_clusters,
    nearest_rows,
    read_clips,
    write_cluster_page,
)


def read_list(cfg: Config) -> tuple[list[str], np.ndarray, dict | None]:
    """Files and labels (-1: none) of the training list, and the storage they are in."""
    dataset = cfg.train_dataloader.dataset
    while "pipeline" not in dataset and "dataset" in dataset:
        dataset = dataset.dataset
    opening = next((step for step in dataset.pipeline if step.type == "OpenAudioVisual"), {})
    built = DATASETS.build({**dataset, "pipeline": []})
    infos = [built.get_data_info(row) for row in range(len(built))]
    labels = np.array([info.get("label", -1) for info in infos])
    return [info["filename"] for info in infos], labels, opening.get("backend_args")


def read_record(path: Path, sources: list[str] | None, num_rows: int) -> dict[str, tuple]:
    """Labels, distances and number of clusters of each source."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such record")
    record = read_arrays(path)
    known = [key.removesuffix("_labels") for key in record if key.endswith("_labels")]
    unknown = sorted(set(sources or ()) - set(known))
    if unknown or not known:
        raise ValueError(f"{path}: there is no source {unknown or ''}; there is: {known}")
    wanted = [f"{name}_{part}" for name in sources or known for part in ("distances", "centroids")]
    lacking = [key for key in wanted if key not in record]
    if lacking:
        raise ValueError(f"{path}: there is no {lacking[0]}; there is: {list(record)}")
    chosen = {
        name: (
            record[f"{name}_labels"],
            record[f"{name}_distances"],
            len(record[f"{name}_centroids"]),
        )
        for name in sources or known
    }
    for name, (labels, *_) in chosen.items():
        if len(labels) != num_rows:
            raise ValueError(
                f"{path}: source {name} has {len(labels)} rows, the training list {num_rows}: "
                "expected the list that was clustered"
            )
    return chosen


def rank_clusters(
    labels: np.ndarray, num_clusters: int, classes: np.ndarray, names: list[str]
) -> list[PageCluster]:
    """Clusters by purity, or by size where the list has no labels."""
    if (classes >= 0).any():
        return [
            PageCluster(cluster, size, purity, concepts)
            for cluster, size, purity, concepts in purity_table(labels, classes, names, top=3)
        ]
    sizes = np.bincount(labels[labels >= 0], minlength=num_clusters)
    order = np.argsort(-sizes, kind="stable").tolist()
    return [PageCluster(cluster, int(sizes[cluster])) for cluster in order if sizes[cluster]]


def main(args: argparse.Namespace) -> None:
    """Run as the command line says."""
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get("default_scope", "mmaction"))
    files, classes, backend_args = read_list(cfg)
    record = read_record(args.record, args.source, len(files))
    names = read_classes(args.classes) if args.classes else []
    names += [f"class {label}" for label in range(len(names), classes.max() + 1)]
    sources = {}
    for source, (labels, distances, num_clusters) in record.items():
        clusters = rank_clusters(labels, num_clusters, classes, names)
        for place in choose_clusters(len(clusters), args.clusters):
            rows = nearest_rows(labels, distances, clusters[place].number, args.clips).tolist()
            clusters[place].clips = [
                PageClip(
                    files[row],
                    float(distances[row]),
                    names[classes[row]] if classes[row] >= 0 else None,
                )
                for row in rows
            ]
        sources[source] = clusters
    clips = [c.filename for all_of in sources.values() for one in all_of for c in one.clips]
    places = [(filename, None) for filename in clips]
    found = read_clips(places, backend_args, args.workers)
    media = {filename: clip for (filename, _), clip in found.items()}
    title = f"{Path(args.config.split('::')[-1]).stem}, {args.record.stem}"
    write_cluster_page(args.out, title, sources, media)
    bad = [name for name, clip in media.items() if not clip.readable]
    for name in bad:
        print(f"cannot be read: {name}: {media[name].problem}", file=sys.stderr)
    size = args.out.stat().st_size / 2**20
    print(f"{len(media)} files, {len(bad)} unreadable: {args.out} ({size:.1f} MiB)")


if __name__ == "__main__":
    main(ARGS)
