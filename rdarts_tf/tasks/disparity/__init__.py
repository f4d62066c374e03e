"""Disparity estimation: stereo networks of three cell types (Zela et al. 2020, app. E; Saikia et al. 2019)."""
