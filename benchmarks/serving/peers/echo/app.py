"""The ceiling: FastAPI that reads a request and sends it back."""

from fastapi import FastAPI, Request, Response

app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Response:
    return Response(await request.body(), media_type="application/json")
