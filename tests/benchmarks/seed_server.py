"""The way most people start: FastAPI and one `SentenceTransformer.encode` per request, torch fp32.

python tests/benchmarks/seed_server.py MODEL PORT MAX_SEQ_LENGTH
"""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

app = FastAPI()
model = SentenceTransformer(sys.argv[1], device="cpu")
model.max_seq_length = int(sys.argv[3])


class Question(BaseModel):
    query: str
    documents: list[str]


@app.get("/health")
def health() -> dict[str, bool]:
    return {"ready": True}


@app.post("/find_similar")
def find_similar(question: Question) -> dict[str, object]:
    vectors = model.encode([question.query, *question.documents])
    scores = model.similarity(vectors[:1], vectors[1:])[0].tolist()
    best = max(range(len(scores)), key=scores.__getitem__)
    return {"document": question.documents[best], "index": best, "score": scores[best]}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
