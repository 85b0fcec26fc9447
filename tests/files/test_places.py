"""What ships is found in a checkout and in an installed wheel; whoever cannot write in the cache is told how to move
it."""
import errno
import os

import pytest

from sketchgan.files import places


def test_data_of_a_checkout_and_of_a_wheel(tmp_path, monkeypatch):
    assert (places.weights_folder() / "judge.safetensors").is_file() and any(places.sketches_folder().glob("*.json"))
    monkeypatch.setattr(places, "PACKAGE", tmp_path / "site-packages" / "sketchgan")
    with pytest.raises(FileNotFoundError, match="neither in .*data nor in .*data; clone the repository, or install a "
                                                "wheel"):
        places.data_folder()
    (tmp_path / "site-packages" / "sketchgan" / "data" / "sketches").mkdir(parents=True)
    assert places.data_folder() == tmp_path / "site-packages" / "sketchgan" / "data"


def test_what_the_system_refuses_comes_with_a_remedy(tmp_path):
    for folder, what in ((places.cache_folder() / "x", "SKETCHGAN_CACHE"), (tmp_path, "choose another folder")):
        with (pytest.raises(OSError, match=f"No space left.*; make room in .*, or .*{what}") as caught,
              places.remedy(folder)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="^says it all$"), places.remedy(tmp_path):
        raise OSError("says it all")
