"""Adds `configs/` to the package: everything else about it is in `pyproject.toml`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["jaxnuc*"]), "jaxnuc.configs", "jaxnuc.configs.studies"],
    package_dir={"jaxnuc.configs": "configs", "jaxnuc.configs.studies": "configs/studies"},
)
