"""Adds `configs/` to the package: everything else about it is in `pyproject.toml`."""

from setuptools import find_packages, setup

FOLDERS = {
    "jaxnuc.configs": "configs",
    "jaxnuc.configs.models": "configs/models",
    "jaxnuc.configs.studies": "configs/studies",
}

setup(
    packages=[*find_packages(include=["jaxnuc*"]), *FOLDERS],
    package_dir=FOLDERS,
)
