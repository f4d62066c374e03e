"""Image classification (Liu et al. 2019; Zela et al. 2020)."""
