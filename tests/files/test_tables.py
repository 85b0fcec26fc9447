"""Tables: what is written is what is read, whole or not at all, and how numbers look."""
import pytest

from sketchgan.files import tables

ROWS = [{"task": "cat, standing", "n": 3, "share": 0.25}, {"task": "horse", "n": 4, "share": 1234.5, "note": "late column"}]


def test_a_csv_comes_back_as_it_was_numbers_as_numbers(tmp_path):
    path = tmp_path / "rows.csv"
    assert tables.read(path) == []
    tables.write(path, ROWS)
    assert tables.read(path) == [ROWS[0] | {"note": ""}, ROWS[1]]
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"], "nothing is left beside it"
    with pytest.raises(TypeError):
        tables.write(path, [None])
    assert tables.read(path)[1] == ROWS[1], "a failure leaves the old file"


def test_a_table_in_markdown_and_on_the_screen(capsys):
    assert tables.markdown(ROWS[:1]) == "| task | n | share |\n| --- | --- | --- |\n| cat, standing | 3 | 0.25 |"
    tables.show(ROWS)
    assert capsys.readouterr().out.splitlines()[-1].split() == ["horse", "4", "1.23e+03"]
    assert tables.text(float("nan")) == "" and tables.text(0.12345) == "0.123"


def test_groups_keep_the_order_of_appearance():
    rows = [{"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 3}]
    assert tables.groups(rows, "a") == {(2,): [rows[0], rows[2]], (1,): [rows[1]]}
