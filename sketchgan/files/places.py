"""Where the data of the project lie: beside the package in a checkout, inside it when it was installed from a wheel."""
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def data_folder() -> Path:
    """The folder with `sketches/` and `weights/`.

    Raises:
        FileNotFoundError: if neither place has them.
    """
    for folder in (PACKAGE.parent / "data", PACKAGE / "data"):
        if (folder / "sketches").is_dir():
            return folder
    raise FileNotFoundError(f"the data of sketchgan are neither in {PACKAGE.parent / 'data'} nor in {PACKAGE / 'data'}; "
                            f"clone the repository, or install a wheel that was built with its data")


def weights_folder() -> Path:
    """The folder of the weights that ship."""
    return data_folder() / "weights"


def sketches_folder() -> Path:
    """The folder of the drawings that ship."""
    return data_folder() / "sketches"
