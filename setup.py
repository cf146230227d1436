"""Build script of cmac_mm; the build system and the tools' settings are in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# Tools that set up or read a checkout.
CHECKOUT_ONLY = ("quickstart.sh", "run_tests.sh", "setup_env.sh")


class BuildWithMim(build_py):
    """Put configs, tools and the list of models into `cmac_mm/.mim`, where OpenMMLab's tools look.

    A wheel gets copies, without what needs a checkout; an editable install links to the checkout.
    """

    def run(self) -> None:
        """Build the package, then its `.mim` folder."""
        super().run()
        package = ROOT / "cmac_mm" if self.editable_mode else Path(self.build_lib, "cmac_mm")
        mim = package / ".mim"
        # A build folder outlives a build: start afresh, or deleted configs would come along.
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in ("configs", "tools"):
            if self.editable_mode:
                (mim / name).symlink_to(Path("..", "..", name), target_is_directory=True)
            else:
                skip = shutil.ignore_patterns("__pycache__", "*.py[co]", *CHECKOUT_ONLY)
                shutil.copytree(ROOT / name, mim / name, ignore=skip)
        if self.editable_mode:
            (mim / "model-index.yml").symlink_to(Path("..", "..", "model-index.yml"))
        else:
            shutil.copy(ROOT / "model-index.yml", mim)


def read_requirements(name: str) -> list[str]:
    """Read `requirements/{name}.txt` without its comments."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


setup(
    name="cmac_mm",
    version=re.search(r'__version__ = "(.+)"', (ROOT / "cmac_mm/version.py").read_text())[1],
    description="Self-supervised audio-visual representation learning for MMAction2",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The CMAC-MM contributors",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["cmac_mm", "cmac_mm.*"]),
    package_data={
        "cmac_mm": ["py.typed"],
        "cmac_mm.evaluation": ["*.csv"],
        "cmac_mm.zoo": ["*.yml", "*.pth", "*.md"],
    },
    install_requires=read_requirements("runtime"),
    extras_require={
        "cluster": ["distributed>=2024.8"],
        "app": ["gradio==6.31.0"],  # pinned: the page was tried with this one
        "docs": read_requirements("docs"),
        "export": ["onnx", "onnxruntime", "onnxscript"],
        "lite": ["mmcv-lite>=2.0.0rc4,<2.2.0"],
        "parquet": ["pyarrow>=15"],
        "tensorboard": ["tensorboard"],
        "test": read_requirements("test"),
    },
    cmdclass={"build_py": BuildWithMim},
    zip_safe=False,
)
