"""Files of fitted estimators, loaded without executing code."""
