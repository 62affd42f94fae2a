"""Table 3: frozen features on twelve image datasets."""
