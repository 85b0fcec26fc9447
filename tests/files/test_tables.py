"""Tables: what is written is what is read, whole or not at all, and how numbers look."""
import pytest

from sketchgan.files import tables

ROWS = [{"task": "cat, standing", "n": 3, "share": 0.25},
        {"task": "horse", "n": 4, "share": 1234.5, "note": "late column"}]


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


@pytest.mark.parametrize("cell", ["12e45678", "00123456", "1e5", "+1", "1_000", " 1", "0x10", "1.50", "", "infinity"])
def test_text_that_only_looks_like_a_number_stays_what_it_is(tmp_path, cell):
    tables.write(tmp_path / "rows.csv", [{"base": cell, "n": 1}])
    assert tables.read(tmp_path / "rows.csv") == [{"base": cell, "n": 1}]


def test_numbers_come_back_and_declared_columns_stay_text(tmp_path):
    row = {"a": 12345678, "b": 1e-05, "c": float("inf"), "d": -3, "e": 0.1 + 0.2}
    tables.write(tmp_path / "rows.csv", [row])
    assert tables.read(tmp_path / "rows.csv") == [row]
    assert tables.read(tmp_path / "rows.csv", text=("a",)) == [row | {"a": "12345678"}]


@pytest.mark.parametrize("data", [b"a,b\n1\n", b"a,b\n1,2,3\n", b"a\n\xff\n", b'a\n"1'])
def test_what_is_no_table_is_named(tmp_path, data):
    (tmp_path / "rows.csv").write_bytes(data)
    try:
        assert tables.read(tmp_path / "rows.csv") == [{"a": 1}], "an open quotation mark is forgiven"
    except ValueError as error:
        assert "rows.csv, line" in str(error)
