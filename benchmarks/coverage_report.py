MODELS = {
    "sptgnn_local": 'SpTGNN, calibration="local"',
    "sptgnn_quantile": 'SpTGNN, calibration="quantile"',
    "quantile_forest": "quantile forest",
    "geoconformal_forest": "geoconformal, random forest",
    "conditional_forest": "MAPIE conditional, random forest",
}


def write_coverage_report(folder):
    pass
