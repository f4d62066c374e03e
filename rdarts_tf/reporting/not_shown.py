"""The end of a report: figures and tables of the paper that its runs do not fill, and the commands that do."""

import re

from rdarts_tf.reporting.page import Commands, Heading, Paragraph

# The first number of a heading tells whether it is shown.
_PARTS = {
    "table2": "disparity by strength of regularisation",
    "table4": "full spaces",
    "figure2": "test regret over the epochs, with Figure 10",
    "figure3": "test error, validation error and lambda_max over the epochs",
    "figure7": "test error by drop path, with Figures 11 and 18",
    "figure8": "test error by L2, with Figures 12 and 18",
    "figure15": "spectra of the Hessian in alpha, with Figure 16",
    "figure17": "discretisation drop by strength of regularisation",
    "figure19": "perplexity by L2",
}


def not_shown(found):
    """The commands behind the parts of the paper that are not among the blocks of a page."""
    headings = [block.text for block in found if isinstance(block, Heading)]
    matches = [re.match(r"(Table|Figure)s? (\d+)", text) for text in headings]
    shown = {f"{match[1].lower()}{match[2]}" for match in matches if match}
    if rest := [name for name in _PARTS if name not in shown]:
        yield Heading("Not shown")
        yield Paragraph("Of the paper; the runs behind it are made by")
        yield Commands(
            tuple(f"python -m rdarts_tf.reproduce {name:<9} # {_PARTS[name]}" for name in rest)
        )
