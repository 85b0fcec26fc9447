"""Draw a few sketches, and a StyleGAN2 becomes your own: the names that notebooks and programs use.

Importing the package compiles nothing, reads no file and starts no thread: each name is looked up in its module the
first time it is used (PEP 562). What lives where, and which file may import which, is the table in README.md.
"""
import sys
from importlib import import_module
from types import ModuleType

_MODULE_OF = {
    'Generator': 'stylegan2', 'Discriminator': 'stylegan2', 'PhotoSketch': 'photosketch',
    'load_generator': 'checkpoints', 'load_discriminator': 'checkpoints', 'load_photosketch': 'checkpoints',
    'save': 'checkpoints',
    'customize': 'customize', 'CustomizeConfig': 'customize', 'Controls': 'customize',
    'Menagerie': 'menagerie',
    'normalize_sketch': 'sketches', 'nearest': 'sketches',
    'SketchPad': 'sketch_pad', 'LiveTraining': 'live_training',
}
__all__ = list(_MODULE_OF)


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"sketchgan has no name {name!r}; it exports {', '.join(__all__)}. "
                             f"Everything else is in its modules, for example sketchgan.metrics.")
    value = getattr(import_module(f'.{_MODULE_OF[name]}', __name__), name)
    globals()[name] = value                                     # the next look-up does not come here
    return value


def __dir__():
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """The package, in which `sketchgan.customize` is the function whoever imported the file of that name first.

    Python binds a submodule as an attribute of its package when it is imported. Left alone, `sketchgan.customize`
    would be a function or a module, depending on what ran before.
    """

    def __setattr__(self, name, value):
        if name in __all__ and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
