"""Draw a few sketches, and a StyleGAN2 becomes your own: the names that notebooks and programs use.

Importing the package compiles nothing, reads no file and starts no thread: each name is looked up in its module the
first time it is used (PEP 562). What lives where, and which folder may import which, is the table in README.md.
"""
import sys
from importlib import import_module


def lazily(package: str, places: dict[str, str]):
    """`__all__`, `__getattr__` and `__dir__` of a package whose names live in modules: module -> names, in one string.

    For packages that are also imported where torch is not wanted (a listing of downloads, the workers of a
    preparation).
    """
    module_of = {name: module for module, names in places.items() for name in names.split()}

    def __getattr__(name):
        if name not in module_of:
            raise AttributeError(f"{package} has no name {name!r}; it exports {', '.join(module_of)}. "
                                 f"Everything else is in its modules, for example sketchgan.measure.metrics.")
        value = getattr(import_module(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)              # the next look-up does not come here
        return value

    def __dir__():
        return sorted({*vars(sys.modules[package]), *module_of})

    return list(module_of), __getattr__, __dir__


__all__, __getattr__, __dir__ = lazily(__name__, {
    "nets": "Generator Discriminator PhotoSketch sample",
    "weights": "load_generator load_discriminator load_photosketch save",
    "world": "Menagerie",
    "photos": "open_images",
    "drawing": "normalize_sketch load_sketches nearest",
    "measure": "evaluate",
    "customizing": "customize CustomizeConfig Controls",
    "widgets": "SketchPad LiveTraining",
})
