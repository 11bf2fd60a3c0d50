"""How graders are compared: folds, nested cross-validation, metrics, intervals, figures."""
