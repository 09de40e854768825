"""What everything builds on and no result depends on: errors, files, parameters, the stage runner, MLflow."""
