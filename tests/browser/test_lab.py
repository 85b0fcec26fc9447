"""What `make lab` opens: the first notebook, with its pictures; and the folders beside it can be reached."""
import json
import urllib.request

import pytest

pytestmark = pytest.mark.browser


def test_make_lab_opens_the_first_notebook_with_its_pictures(jupyterlab, page):
    (jupyterlab.folder / 'outputs').mkdir(exist_ok=True)
    page.goto(f'{jupyterlab.url}/?token={jupyterlab.token}')
    page.wait_for_selector('.jp-Notebook .jp-MarkdownOutput h1')
    assert '00 Quickstart' in page.locator('.jp-MarkdownOutput h1').first.inner_text()
    page.wait_for_function('''() => { const ours = [...document.querySelectorAll('.jp-MarkdownOutput img')]
        .filter(e => !e.src.startsWith('https:')); return ours.length && ours.every(e => e.complete); }''')
    broken = page.evaluate('''() => [...document.querySelectorAll('.jp-MarkdownOutput img')]
        .filter(e => !e.src.startsWith('https:') && !e.naturalWidth).map(e => e.src)''')
    assert not broken
    address = f'{jupyterlab.url}/api/contents/?token={jupyterlab.token}'
    with urllib.request.urlopen(address) as reply:
        names = {item['name'] for item in json.load(reply)['content']}
    assert {'notebooks', 'outputs', 'data', 'assets'} <= names
