"""An OpenAI chat completions endpoint on loopback with a fixed answer, so that vendors' SDKs have something to record.

    with FakeOpenAI() as openai:
        OpenAI(base_url=openai.url, api_key="sk-fake")       # openai.url ends in /v1
        openai.requests                                       # what was asked: [{"path", "headers", "body"}]

Or as a process of its own, `python fake_openai.py [PORT]`: it prints its URL and serves until its input ends.
A model whose name begins with "fail-" answers with that status: "fail-429", "fail-500".
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = "Hello from fake model"
PIECES = ["Hello", " from", " fake", " model"]
USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16, "prompt_tokens_details": {"cached_tokens": 3}}
ID = "chatcmpl-fake"
CREATED = 1795229470


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        self.server.asked.append({"path": self.path, "headers": dict(self.headers), "body": body})
        model = body.get("model", "gpt-4o")
        if model.startswith("fail-"):
            return self.answer(int(model[5:]), {"error": {"message": "fake failure", "type": "fake_error", "code": "fake"}})
        if self.path.endswith("/embeddings"):
            texts = body["input"] if isinstance(body.get("input"), list) else [body.get("input")]
            return self.answer(200, {
                "object": "list", "model": model, "usage": {"prompt_tokens": 3, "total_tokens": 3},
                "data": [{"object": "embedding", "index": i, "embedding": [0.5, 0.25]} for i in range(len(texts))]})
        if not self.path.endswith("/chat/completions"):
            return self.answer(404, {"error": {"message": "not here", "type": "invalid_request_error", "code": None}})
        if body.get("stream"):
            return self.stream(model, (body.get("stream_options") or {}).get("include_usage", False))
        self.answer(200, {
            "id": ID, "object": "chat.completion", "created": CREATED, "model": model, "usage": USAGE,
            "choices": [{
                "index": 0, "finish_reason": "stop", "logprobs": None,
                "message": {"role": "assistant", "content": ANSWER, "refusal": None}}]})

    def do_GET(self):
        self.answer(200, {"object": "list", "data": [{"id": "gpt-4o", "object": "model", "created": CREATED, "owned_by": "fake"}]})

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def stream(self, model, with_usage):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

        def chunk(choices, usage=None):
            data = {"id": ID, "object": "chat.completion.chunk", "created": CREATED, "model": model, "choices": choices, "usage": usage}
            self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")
            self.wfile.flush()

        for number, piece in enumerate(PIECES):
            delta = {"content": piece, **({"role": "assistant"} if number == 0 else {})}
            chunk([{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}])
        chunk([{"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": None}])
        if with_usage:
            chunk([], USAGE)
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass


class FakeOpenAI:
    def __init__(self, port=0):
        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.asked = []
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    @property
    def requests(self):
        return self.server.asked

    def start(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


if __name__ == "__main__":
    with FakeOpenAI(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as fake:
        print(fake.url, flush=True)
        sys.stdin.read()
