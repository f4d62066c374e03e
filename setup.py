"""Packaging of rdarts-tf."""

import pathlib
import re
import shutil

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "rdarts_tf/__init__.py").read_text())[1]
NOTEBOOKS = ["ipykernel>=7,<8", "nbclient>=0.10,<1", "nbformat>=5.10,<6"]
RAY = ["ray>=2.60,<3"]
STEREO = ["scikit-image>=0.26,<0.27"]


class WithExperiments(build_py):
    """Installs the experiments of `flags` within the package; in a checkout they are read where they are."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for scale in ("paper", "small"):
                built = pathlib.Path(self.build_lib) / "rdarts_tf/experiments" / scale
                shutil.copytree(HERE / "flags" / scale, built, dirs_exist_ok=True)


setup(
    name="rdarts-tf",
    version=VERSION,
    description="Robust differentiable architecture search (R-DARTS) in TensorFlow and Keras 3",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["rdarts_tf", "rdarts_tf.*"]),
    package_data={"rdarts_tf": ["**/*.csv", "**/*.json"]},
    cmdclass={"build_py": WithExperiments},
    # Lower bounds are what the tests ran with; TensorFlow and Keras change internals in minor versions.
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<3.16",
        "tensorflow-datasets>=4.9.10,<4.10",
        "tensorboard>=2.21,<2.22",
        "absl-py>=2.5,<3",
        "importlib_resources>=7.1,<8",
        "matplotlib>=3.11,<4",
        "numpy>=2.4,<3",
        "pillow>=13,<14",
        "scikit-learn>=1.9,<2",
        "scipy>=1.17,<2",
        "tqdm>=4.70,<5",
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "notebooks": NOTEBOOKS,
        "onnx": ["onnx>=1.23,<2", "onnxruntime>=1.32,<2", "tf2onnx>=1.17,<1.18"],
        "ray": RAY,
        "stereo": STEREO,
        "test": [
            "pytest>=9.0,<10",
            "pytest-xdist>=3.8,<4",
            "ruff>=0.17.6,<0.18",
            *NOTEBOOKS,
            *RAY,
            *STEREO,
        ],
    },
)
