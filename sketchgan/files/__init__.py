"""Files: whole or not at all, locks, downloads by name, archives, tables of results."""
from .. import lazily

__all__, __getattr__, __dir__ = lazily(__name__, {
    "atomic": "FolderInUse locked write_atomically",
    "readers": "reading",
    "places": "cache_folder data_folder sketches_folder weights_folder",
    "hub": "fetch find_data",
    "downloads": "DownloadError download",
    "archives": "ArchiveError open_zip unpack",
})
