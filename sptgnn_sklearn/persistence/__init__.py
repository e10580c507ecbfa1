"""Save and load fitted estimators without executing code."""
