"""Smaller spaces of what a search found strong (Zela et al. 2020, app. B)."""

import dataclasses
import re

from rdarts_tf.errors import UserError

_LONGEST = 50  # characters of a name that is made longer


def shrink(space, edge_weights, keep):
    """The space of the strongest primitives of each edge, in the order that they had.

    S1 came from the full space so: four of eight primitives kept, then, after another search, two of
    four. `none` goes before all others, as S1 has it on no edge; it stays only where an edge offers
    fewer others than are kept.

    Args:
        space: spaces.base.Space.
        edge_weights: {cell type: [E, K]}; of equal ones the first counts as stronger.
        keep: primitives of an edge; a cell type with fewer stays as it is.
    Returns:
        spaces.base.Space.
    Raises:
        UserError: nothing would go, or everything.
    """
    most = max(cell.alpha_shape[1] for cell in space.cells.values())
    if not 1 <= keep < most:
        told = f"from 1 to {most - 1}" if most > 1 else "less, which cannot be"
        raise UserError(
            f"--keep={keep} must be {told}: an edge of space {space.name!r} offers {most} primitives"
        )
    cells = {
        t: dataclasses.replace(
            cell,
            primitives=tuple(
                _strongest(names, weights, keep)
                for names, weights in zip(cell.primitives, edge_weights[t], strict=True)
            ),
        )
        for t, cell in space.cells.items()
    }
    name = re.sub(r"\W", "_", space.name, flags=re.ASCII)[:_LONGEST]
    return dataclasses.replace(space, name=f"{name}_keep{keep}", cells=cells)


def _strongest(names, weights, keep):
    order = sorted(range(len(names)), key=lambda k: (names[k] == "none", -weights[k]))
    return tuple(names[k] for k in sorted(order[:keep]))
