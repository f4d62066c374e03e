"""Disparity of pairs of images (Zela et al. 2020, app. E; Saikia et al. 2019)."""
