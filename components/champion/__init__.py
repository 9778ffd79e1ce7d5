"""The champion stage: fetches what serves today, for the candidate to be measured against."""
