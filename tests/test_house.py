"""The house rules: one list of dependencies, imports one way, small files, readable notebooks, a README that holds."""
import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import sketchgan
from sketchgan.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
EXTRAS = PROJECT['optional-dependencies']
MODULES = sorted((ROOT / 'sketchgan').rglob('*.py'))
NOTEBOOKS = sorted((ROOT / 'notebooks').glob('[0-9][0-9]_*.ipynb'))
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def tracked() -> list[Path]:
    """Every file of the project: what git knows, or would be told about."""
    listed = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split('\0') if name and (ROOT / name).is_file()]


# --- Dependencies ----------------------------------------------------------------------------------------------------


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / 'constraints.txt').read_text().splitlines() if line and line[0] != '#']
    assert all(re.fullmatch(r'[\w.-]+==[\w.]+', line) for line in lines), 'constraints.txt holds exact pins only'
    return {canonicalize_name(name): version for name, version in (line.split('==') for line in lines)}


def test_every_dependency_is_pinned_within_its_range():
    pinned = pins()
    for line in [*PROJECT['dependencies'], *(line for extra in EXTRAS.values() for line in extra)]:
        wanted = Requirement(line)
        name = canonicalize_name(wanted.name)
        assert name in pinned, f'pyproject.toml asks for {line}, constraints.txt pins no {name}'
        assert wanted.specifier.contains(pinned[name]), f'{name}=={pinned[name]} in constraints.txt is outside {line}'


def test_constraints_cover_what_the_dependencies_bring_in():
    """Walks the installed packages: whatever the project pulls in is pinned, so that two set-ups are the same."""
    pinned, seen = pins(), set()
    queue = [Requirement(line) for line in [*PROJECT['dependencies'], *EXTRAS['notebooks'], *EXTRAS['test']]]
    while queue:
        wanted = queue.pop()
        if (wanted.name, *wanted.extras) in seen:
            continue
        seen.add((wanted.name, *wanted.extras))
        try:
            further = metadata.requires(wanted.name) or []
        except metadata.PackageNotFoundError:
            continue                                            # meant for another system
        for line in map(Requirement, further):
            if line.marker is None or any(line.marker.evaluate({'extra': extra}) for extra in wanted.extras or ('',)):
                queue.append(line)
        # CUDA's parts are pinned exactly by the torch build that brings them.
        if not wanted.name.startswith(('nvidia-', 'cuda-', 'triton')):
            assert canonicalize_name(wanted.name) in pinned, f'{wanted.name} is installed but not in constraints.txt'


def test_environment_is_in_step_with_pyproject():
    environment = yaml.safe_load((ROOT / 'environment.yml').read_text())
    conda = [item for item in environment['dependencies'] if isinstance(item, str)]
    through_pip = next(item['pip'] for item in environment['dependencies'] if isinstance(item, dict))
    python = next(item for item in conda if item.startswith('python'))
    assert SpecifierSet(python.removeprefix('python')) == SpecifierSet(PROJECT['requires-python'])
    assert 'pip' in conda, 'conda wants pip named where a pip section follows'
    assert '--constraint constraints.txt' in through_pip, 'conda users get the pinned versions too'
    # The list of packages is not repeated: the project itself is installed, with extras that pyproject.toml defines.
    editable = [re.fullmatch(r'--editable \.\[([\w,]+)\]', item) for item in through_pip if 'editable' in item]
    assert len(through_pip) == 2 and len(editable) == 1 and editable[0]
    assert {'notebooks', 'test'} <= set(editable[0][1].split(',')) <= set(EXTRAS)


def test_make_and_ci_install_what_pyproject_defines():
    makefile = (ROOT / 'Makefile').read_text()
    extras = {'notebooks', 'test', 'metrics', 'video', 'search', 'train'}
    assert "'.[notebooks,test,metrics,video,search,train]'" in makefile and extras == set(EXTRAS)
    assert makefile.index('$(VENV)/.torch:') < makefile.index('$(VENV)/.core:'), 'torch goes in before anything else'
    assert 'make --no-print-directory --keep-going test' in (ROOT / '.ci/run').read_text()


# --- The package -----------------------------------------------------------------------------------------------------


WATCHED = r'''
import sys, torch
modules, touched = set(sys.modules), []
def watch(event, arguments):
    if event == 'open' and not str(arguments[0]).endswith(('.py', '.pyc')):
        touched.append(f'open {arguments[0]}')
    if event in ('socket.connect', 'socket.getaddrinfo', 'subprocess.Popen', 'os.system', 'os.exec', 'os.posix_spawn'):
        touched.append(event)
sys.addaudithook(watch)
import sketchgan
assert not touched, f'import sketchgan touched: {touched}'
new = {name for name in set(sys.modules) - modules if name.startswith('sketchgan.')}
assert not new, f'import sketchgan loaded {new}'
for name in sketchgan.__all__:
    assert getattr(sketchgan, name) is not None
outside = [what for what in touched if not what.startswith('open') or '/data/weights/' in what or 'extensions' in what]
assert not outside, f'the exported names touched: {outside}'
assert 'torch.utils.cpp_extension' not in sys.modules, 'the exported names prepare a compilation'
'''


def test_importing_compiles_nothing_and_touches_neither_disk_nor_network():
    done = subprocess.run([sys.executable, '-c', WATCHED], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_exports_are_few_and_all_there():
    assert len(sketchgan.__all__) <= 25 and set(sketchgan.__all__) <= set(dir(sketchgan))
    with pytest.raises(AttributeError, match='it exports Generator'):
        sketchgan.nonsense


def order_of_folders() -> tuple[dict[str, int], list[set[str]]]:
    """The line of the README, `files < ops < ... < {customizing, ...} < widgets < studios`: folder -> place, and the
    braces."""
    line = re.search(r'^    (files < [^`]*?studios)$', README, flags=re.M | re.S)
    assert line, 'README.md has the line of folders: files < ops < ... < studios'
    steps = [{name for name in re.findall(r'\w+', step)} for step in re.sub(r'\s+', ' ', line[1]).split('<')]
    return {name: i for i, step in enumerate(steps) for name in step}, [step for step in steps if len(step) > 1]


def module_of(path: Path) -> str:
    """The dotted name of a file of the library below sketchgan: 'nets.judge', 'nets' for its __init__."""
    parts = path.relative_to(ROOT / 'sketchgan').with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imported_modules(path: Path) -> set[str]:
    """What this file of the library imports of it anywhere, as dotted names below sketchgan."""
    found, package = set(), path.relative_to(ROOT).parent.parts
    known = {module_of(module) for module in MODULES}
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else ()
            place = '.'.join((*base, *(node.module.split('.') if node.module else ())))
            targets = [f'{place}.{alias.name}' for alias in node.names]
        elif isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            continue
        for target in targets:
            if target.split('.')[0] == 'sketchgan':
                name = target.partition('.')[2]
                found.add(name if name in known else name.rpartition('.')[0])
    return found


def test_folders_import_what_stands_before_them_only():
    place, braces = order_of_folders()
    folders = {path.parent.name for path in MODULES} - {'sketchgan'}
    assert folders <= set(place), f'the line of folders in README.md lacks {folders - set(place)}'
    for path in MODULES:
        home = path.parent.name
        for name in imported_modules(path) - {''}:
            folder = name.split('.')[0]
            if home == 'sketchgan':
                allowed = path.stem in ('__init__', '__main__') or name == 'files.checks'
                assert allowed, f'{path.name} is ground and imports {name}'
            elif folder != 'plotting' and folder != home:
                assert place[folder] < place[home], f'{home}/{path.name} imports {name}, not before it in the line'
                assert not any({home, folder} <= brace for brace in braces), f'{home}/{path.name} imports {name}'


def test_no_file_imports_itself_round_a_corner():
    """No cycle between files: whoever reads one can read what it stands on first."""
    graph = {module_of(path): {name for name in imported_modules(path) if name} for path in MODULES
             if path.stem != '__init__'}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"a cycle: {' -> '.join((*above[above.index(name):], name))}"
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*above, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_the_house_stays_small():
    by_folder = {}
    for path in MODULES:
        by_folder.setdefault(path.parent.name, []).append(path)
        lines = path.read_text(encoding='utf-8').count('\n')
        assert lines <= 350, f'{path.relative_to(ROOT)} has {lines} lines; a file is one noun, 350 at most'
    for folder, files in by_folder.items():
        assert len(files) <= 10, f'{folder}/ has {len(files)} files; ten at most, so that one look is enough'


@pytest.mark.parametrize('path', [p for p in tracked() if p.suffix == '.py'], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_small_and_say_what_they_are(path):
    source = path.read_text(encoding='utf-8')
    assert source.count('\n') <= 550, 'a file is one noun: at most 550 lines'
    tree = ast.parse(source)
    assert not source.strip() or ast.get_docstring(tree), 'the file begins with a docstring'
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f'{node.name} is longer than 60 lines'
    if path.is_relative_to(ROOT / 'sketchgan'):
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith('_'):
                assert ast.get_docstring(node), f'{node.name} is public and has no docstring'


def test_nothing_committed_names_a_place_on_one_machine():
    elsewhere = re.compile(r'(?<![\w.:/~-])/(?:work|tmp|opt|root|home|Users)/[\w.]')
    texts = {'.py', '.md', '.ipynb', '.yml', '.toml', '.txt', '.json', '.cpp', '.cu', ''}
    for path in tracked():
        if path.suffix in texts:
            found = elsewhere.search(path.read_text(encoding='utf-8'))
            assert not found, f'{path.relative_to(ROOT)} names {found and found[0]}...'


# --- The notebooks ---------------------------------------------------------------------------------------------------


def source_of(cell: dict) -> str:
    return ''.join(cell['source'])


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.name)
def test_notebook_is_short_run_and_readable(path):
    notebook = json.loads(path.read_text(encoding='utf-8'))
    code = [cell for cell in notebook['cells'] if cell['cell_type'] == 'code' and source_of(cell).strip()]
    lengths = sorted(source_of(cell).count('\n') + 1 for cell in code)
    assert lengths[-1] <= 25, f'the longest code cell has {lengths[-1]} lines; the library does, the notebook shows'
    assert lengths[len(lengths) // 2] <= 12, f'the median code cell has {lengths[len(lengths) // 2]} lines'
    assert len(notebook['cells']) - len(code) >= len(code) // 2, 'too little prose between the code'
    assert all(cell['execution_count'] for cell in code), 'committed without outputs: make notebooks'
    outputs = [out for cell in code for out in cell['outputs']]
    assert not any(out['output_type'] == 'error' for out in outputs)
    assert any({'image/png', 'image/jpeg'} & set(out.get('data', {}))
               for out in outputs), 'a notebook without a picture'
    assert not any('widget' in mime for out in outputs for mime in out.get('data', {})), 'a dead widget: make notebooks'
    assert 'widgets' not in notebook['metadata'], 'widget state is stored in the notebook: make notebooks'
    assert path.stat().st_size <= 300_000, f'{path.stat().st_size / 1000:.0f} kB; 300 at most'
    assert any('assert ' in source_of(cell) for cell in code), 'no cell fails if the result is wrong'


def set_addresses(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / 'notebooks/set_addresses.py', *map(str, arguments)],
                          capture_output=True, text=True)


def test_badges_and_set_up_cells_come_from_pyproject():
    done = set_addresses('--check')
    assert done.returncode == 0, f'{done.stdout}{done.stderr}Run: python notebooks/set_addresses.py'


def test_a_new_address_reaches_every_notebook(tmp_path):
    """What whoever publishes the project does: change one line, run the script."""
    old = PROJECT['urls']['Repository']
    moved = (ROOT / 'pyproject.toml').read_text().replace(old, 'https://github.com/someone/elsewhere')
    (tmp_path / 'pyproject.toml').write_text(moved)
    page = tmp_path / '00_page.ipynb'
    cells = [{'cell_type': 'markdown', 'id': 'a', 'metadata': {}, 'source': '# A page\nwith a line.'},
             {'cell_type': 'code', 'id': 'b', 'metadata': {}, 'source': '1 + 1', 'outputs': [], 'execution_count': 1}]
    page.write_text(json.dumps({'cells': cells, 'metadata': {}, 'nbformat': 4, 'nbformat_minor': 5}))
    before = page.read_text()

    assert set_addresses('--check', page).returncode == 1 and page.read_text() == before, '--check must not write'
    assert set_addresses(page).returncode == 0
    assert old in page.read_text()
    assert set_addresses('--pyproject', tmp_path / 'pyproject.toml', page).returncode == 0
    title, set_up, rest = json.loads(page.read_text())['cells']
    assert old not in page.read_text() and '/someone/elsewhere/blob/main/notebooks/00_page.ipynb' in source_of(title)
    assert 'git clone --quiet --depth 1 https://github.com/someone/elsewhere elsewhere' in source_of(set_up)
    assert '"torch' not in source_of(set_up), 'Colab keeps its own torch'
    assert '"ipycanvas>=' in source_of(set_up) and source_of(rest) == '1 + 1'
    assert set_addresses('--check', '--pyproject', tmp_path / 'pyproject.toml', page).returncode == 0


# --- The README ------------------------------------------------------------------------------------------------------


def test_readme_links_lead_somewhere():
    for page in ('README.md', 'data/README.md'):
        text = (ROOT / page).read_text(encoding='utf-8')
        for target in re.findall(r'\]\((?!https?://|#)([^)#]+)', text) + re.findall(r'src="(?!http)([^"]+)"', text):
            assert ((ROOT / page).parent / target).exists(), f'{page} links to {target}, which is not there'


def test_readme_commands_exist():
    """Every command that the READMEs name can be typed: targets of make, scripts, modules."""
    targets = set(re.findall(r'^([\w-]+)(?: [\w-]+)*:', (ROOT / 'Makefile').read_text(), flags=re.M))
    for page in ('README.md', 'data/README.md'):
        text = (ROOT / page).read_text(encoding='utf-8')
        assert not re.search(r'TODO|TBD|FIXME|PICTURE:|LEAD:|@[A-Z]+@', text), f'{page} has an unfinished place'
        for name in re.findall(r'(?:^|`)make (?:[A-Z_]+=\S+ )*([a-z][\w-]*)', text, flags=re.M):
            assert name in targets, f'{page} says make {name}; the Makefile has no such target'
        for script in re.findall(r'python ((?:benchmarks|notebooks|tests)/[\w./]+\.py)', text):
            assert (ROOT / script).is_file(), f'{page} says python {script}, which is not there'
        for command in re.findall(r'python -m sketchgan ([a-z]\w*)', text):
            assert command in COMMANDS, f'{page} runs sketchgan {command}, which is not there'
        assert '-m sketchgan.' not in text, f'{page} names a command of other days'


def test_every_number_of_the_readme_names_its_command():
    """A table with a column `command` states one in each row: a number that nothing reproduces does not stand there."""
    tables = re.findall(r'(?:^\|.*\n)+', README, flags=re.M)
    measured = [table for table in tables if '| command' in table.split('\n')[0]]
    assert measured, 'the README publishes what it costs and how well it works, each number with its command'
    for row in (row for table in measured for row in table.strip().split('\n')[2:]):
        assert re.search(r'`(make|python) [^`]+` \|$', row), f'no command at the end of this row: {row}'


def test_weights_are_documented_as_they_are_made():
    """`make weights` and data/README.md say the same commands in the same order."""
    dry = subprocess.run(['make', '--dry-run', '--always-make', 'weights', 'weights-hands'], cwd=ROOT,
                         capture_output=True, text=True)
    made = re.findall(r'-m sketchgan pretrain (.+)', re.sub(r'"\$\(.+?\)"', 'path/to/hands', dry.stdout))
    page = (ROOT / 'data/README.md').read_text(encoding='utf-8')
    told = re.findall(r'^python -m sketchgan pretrain (.+)$', page, flags=re.M)
    assert made, dry.stderr
    assert [line.strip() for line in made] == [line.strip() for line in told]
