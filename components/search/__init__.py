"""An index version: its files, and the search in them that the stage, the deploy and the predictor share."""
