"""MLflow's registry of models: gates, versions and the champion."""
