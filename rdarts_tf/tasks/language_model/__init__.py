"""Language modelling: recurrent cells searched and trained on text (Liu et al. 2019, sec. 3.1.2)."""
