"""The live page that `scalespace serve` shows; needs the extra `web` (starlette and uvicorn)."""
