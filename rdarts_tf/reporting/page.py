"""A page as plain blocks, and its two forms: Markdown beside its pictures, HTML that holds them.

Every text may come from files of others; both forms escape it.
"""

import base64
import dataclasses
import html
import mimetypes
import re
import string
import textwrap


@dataclasses.dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclasses.dataclass(frozen=True)
class Paragraph:
    text: str


@dataclasses.dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    lines: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image.

    Attributes:
        name: of its file, unique on the page; its suffix tells the format.
        content: the file's bytes.
        alt: what it shows, for those who do not see it.
        caption: text below.
    """

    name: str
    content: bytes
    alt: str
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A field of a table.

    Attributes:
        text: the value.
        aside: another value for comparison, shown in brackets.
        notes: texts of footnotes.
        strong: stands out.
    """

    text: str = ""
    aside: str = ""
    notes: tuple[str, ...] = ()
    strong: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of Cells; the first `num_labels` columns are words, the others numbers.

    Attributes:
        header: one text a column.
        rows: lists of as many Cells.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    num_labels: int = 1

    def __post_init__(self):
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"a row has not {len(self.header)} cells")

    def notes(self):
        """{text of a footnote: its letter}, in the order of the cells."""
        texts = dict.fromkeys(note for row in self.rows for cell in row for note in cell.notes)
        return {text: _letter(index) for index, text in enumerate(texts)}


def _letter(index):
    """a, b, ..., z, aa, bb, ..."""
    turns, letter = divmod(index, len(string.ascii_lowercase))
    return string.ascii_lowercase[letter] * (turns + 1)


def to_markdown(title, blocks):
    """The page as Markdown; it shows the pictures that lie beside it."""
    return "\n\n".join([f"# {_marked(title)}", *map(_to_markdown, blocks)]) + "\n"


def to_html(title, blocks):
    """The page as one file that opens without network: its pictures are inside."""
    contents = "".join(
        f'<li><a href="#{_anchor(block.text)}">{html.escape(block.text)}</a></li>'
        for block in blocks
        if isinstance(block, Heading) and block.level == 2
    )
    title = html.escape(title)
    body = "\n".join(map(_to_html, blocks))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n<nav><ol>{contents}</ol></nav>\n{body}\n</body>\n</html>\n"
    )


def _to_markdown(block):
    match block:
        case Heading():
            return f"{'#' * block.level} {_marked(block.text)}"
        case Paragraph():
            return _marked(block.text)
        case Commands():
            return textwrap.indent("\n".join(block.lines), " " * 4, lambda line: True)
        case Picture():
            caption = f"\n\n{_marked(block.caption)}" if block.caption else ""
            return f"![{_marked(block.alt)}]({block.name}){caption}"
        case Table():
            return _markdown_table(block)


def _markdown_table(table):
    letters = table.notes()
    numbers = len(table.header) - table.num_labels
    lines = [
        [_marked(text) for text in table.header],
        ["---"] * table.num_labels + ["---:"] * numbers,
        *([_markdown_cell(cell, letters) for cell in row] for row in table.rows),
    ]
    notes = [f"<sup>{letter}</sup> {_marked(text)}" for text, letter in letters.items()]
    return "\n\n".join(["\n".join(f"| {' | '.join(line)} |" for line in lines), *notes])


def _markdown_cell(cell, letters):
    text, aside = _marked(cell.text), _marked(cell.aside)
    text = f"**{text}**" if cell.strong and text else text
    parts = (text + _superscript(cell, letters), f"({aside})" if aside else "")
    return " ".join(filter(None, parts))


def _superscript(cell, letters):
    marks = ",".join(letters[note] for note in cell.notes)
    return f"<sup>{marks}</sup>" if marks else ""


def _marked(text):
    """Text in which nothing is markup."""
    return re.sub(r"([\\`*|\[\]])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _to_html(block):
    match block:
        case Heading():
            level = f"h{block.level}"
            return f'<{level} id="{_anchor(block.text)}">{html.escape(block.text)}</{level}>'
        case Paragraph():
            return f"<p>{html.escape(block.text)}</p>"
        case Commands():
            return f"<pre><code>{html.escape(chr(10).join(block.lines))}</code></pre>"
        case Picture():
            below = html.escape(block.caption)
            caption = f"<figcaption>{below}</figcaption>" if below else ""
            image = f'<img src="{_data_uri(block)}" alt="{html.escape(block.alt)}">'
            return f"<figure>{image}{caption}</figure>"
        case Table():
            return _html_table(block)


def _html_table(table):
    letters = table.notes()
    header = "".join(
        f"<th{_class(column, table)}>{_breakable(text)}</th>"
        for column, text in enumerate(table.header)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(
            f"<td{_class(column, table)}>{_html_cell(cell, letters)}</td>"
            for column, cell in enumerate(row)
        )
        + "</tr>"
        for row in table.rows
    )
    notes = "".join(
        f'<p class="note"><sup>{letter}</sup> {html.escape(text)}</p>'
        for text, letter in letters.items()
    )
    return (
        f'<div class="table"><table><thead><tr>{header}</tr></thead>\n<tbody>\n{rows}\n'
        f"</tbody></table></div>{notes}"
    )


def _class(column, table):
    return "" if column < table.num_labels else ' class="number"'


def _html_cell(cell, letters):
    text = _breakable(cell.text)
    text = f"<strong>{text}</strong>" if cell.strong else text
    aside = f' <span class="aside">({html.escape(cell.aside)})</span>' if cell.aside else ""
    return text + _superscript(cell, letters) + aside


def _breakable(text):
    """HTML of a text whose lines may also end behind / and _, as names in narrow columns must."""
    return re.sub("([/_])", r"\1<wbr>", html.escape(text))


def _data_uri(picture):
    kind = mimetypes.guess_type(picture.name)[0]
    return f"data:{kind};base64,{base64.b64encode(picture.content).decode()}"


def _anchor(text):
    return re.sub(r"\W+", "-", text.lower()).strip("-")


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 75rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem;
  border-bottom: 1px solid #ddd; } h3 { font-size: 1.05rem; margin-top: 1.5rem; }
nav ol { columns: 16rem; padding-left: 1.5rem; }
a { color: #0b5394; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; }
th, td { text-align: left; padding: .3rem .5rem; border-bottom: 1px solid #e5e5e5;
  vertical-align: top; }
th { vertical-align: bottom; border-bottom: 2px solid #888; }
td.number { white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.aside { color: #767676; }
.note, figcaption { font-size: .85rem; color: #555; margin: .3rem 0; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
pre { background: #f6f6f6; padding: .6rem .8rem; font-size: .85rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
@media print { nav { display: none; } body { max-width: none; font-size: 11px; }
  figure, tr { break-inside: avoid; } }
"""
