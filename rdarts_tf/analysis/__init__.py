"""What a finished search tells: spectra, discretisation, regret, and the figures drawn of them."""
