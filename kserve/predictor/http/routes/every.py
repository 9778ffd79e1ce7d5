"""All routes: the predictor's own, and those of the protocols that others defined."""

from fastapi import APIRouter

from predictor.http.routes import cohere, find_similar, openai, repository, score, search, tei, v1, v2

router = APIRouter()
for _protocol in (find_similar, search, openai, v1, v2, repository, cohere, tei, score):
    router.include_router(_protocol.router)
