"""The shell around the core: the only place that imports Faust, and the only one that has effects."""
