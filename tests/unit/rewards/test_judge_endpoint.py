"""The endpoint judge against a server in this process that fails in every way a server can."""

import json
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rl_reason.data.template import JUDGE, read_template
from rl_reason.rewards.judge import Judge, Question
from rl_reason.rewards.judge_endpoint import EndpointJudge
from rl_reason.rewards.verdict import Fault, NoVerdict
from rl_reason.types import Prompt, StopReason, Trajectory, Verdict

RIGHT = 'They agree. {"correct": true}'


def completion(words=RIGHT, finish="stop"):
    return json.dumps({"choices": [{"message": {"content": words}, "finish_reason": finish}]}).encode()


class Server(ThreadingHTTPServer):
    """`behave(question, attempt) -> (status, body, headers)`, or acts on the handler itself and returns None."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behave):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave, self.seen, self.bodies, self.keys = behave, Counter(), [], []
        self.lock, self.busy, self.most = threading.Lock(), 0, 0
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, client_address):
        pass  # clients that give up are what is tested


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][0]["content"]
        with server.lock:
            server.seen[question] += 1
            attempt = server.seen[question]
            server.bodies.append(body)
            server.keys.append(self.headers.get("Authorization"))
            server.busy += 1
            server.most = max(server.most, server.busy)
        try:
            if (answer := server.behave(self, question, attempt)) is not None:
                status, content, *headers = answer
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
        finally:
            with server.lock:
                server.busy -= 1

    def log_message(self, format, *args):
        pass


@pytest.fixture
def serve(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    servers = []

    def start(behave):
        server = Server(behave)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.released.set()
        server.shutdown()
        server.server_close()


def asker(server, **settings):
    settings = {"deadline_s": 5.0, "attempts": 3, "pause_s": 0.001} | settings
    return EndpointJudge(server.url, "grader", max_new_tokens=64, **settings)


def ask(server, *texts, **settings):
    questions = [Question(text, seed) for seed, text in enumerate(texts or ["q"])]
    return [reply.words for reply in asker(server, **settings).ask(questions)]


def test_what_is_sent_and_what_comes_back(serve):
    server = serve(lambda handler, question, attempt: (200, completion(f"about {question}")))
    assert ask(server, "a", "b", api_key="secret", temperature=0.7) == ["about a", "about b"]
    body = next(body for body in server.bodies if body["messages"][0]["content"] == "b")
    assert body == {
        "model": "grader",
        "messages": [{"role": "user", "content": "b"}],
        "temperature": 0.7,
        "max_tokens": 64,
        "seed": 1,
    }
    assert set(server.keys) == {"Bearer secret"}
    ask(server, "c")
    assert server.keys[-1] is None


def test_many_questions_are_asked_at_once_but_not_too_many(serve):
    gate = threading.Barrier(4, timeout=20)

    def behave(handler, question, attempt):
        gate.wait()  # passes only when four requests are here together
        return 200, completion(question)

    server = serve(behave)
    texts = [str(number) for number in range(12)]
    assert ask(server, *texts, concurrency=4) == texts
    assert server.most == 4


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_passing_trouble_is_tried_again(serve, status):
    server = serve(lambda handler, question, attempt: (200, completion()) if attempt == 3 else (status, b"busy"))
    assert ask(server) == [RIGHT] and server.seen["q"] == 3


def test_lasting_trouble_ends_in_a_fault_after_all_attempts(serve):
    server = serve(lambda handler, question, attempt: (429, b"slow  down\n", ("Retry-After", "0")))
    (words,) = ask(server)
    assert words == NoVerdict(Fault.UNREACHABLE, "HTTP 429: slow down; 3 attempts") and server.seen["q"] == 3


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_is_not_asked_for_twice(serve, status):
    server = serve(lambda handler, question, attempt: (status, b"no such model"))
    assert ask(server) == [NoVerdict(Fault.UNREACHABLE, f"HTTP {status}: no such model")] and server.seen["q"] == 1


def test_a_wrong_key_is_not_quoted(serve):
    server = serve(lambda handler, question, attempt: (401, b"invalid key: secret"))
    judge = asker(server, api_key="secret")
    (reply,) = judge.ask([Question("q", 0)])
    assert reply.words == NoVerdict(Fault.UNREACHABLE, "HTTP 401") and "secret" not in repr(judge)


def test_a_redirect_is_not_followed_with_the_key(serve):
    other = serve(lambda handler, question, attempt: (200, completion()))
    server = serve(lambda handler, question, attempt: (307, b"", ("Location", f"{other.url}/chat/completions")))
    (words,) = ask(server, api_key="secret")
    assert isinstance(words, NoVerdict) and "307" in words.detail and not other.seen


def test_retry_after_is_waited_for(serve):
    server = serve(
        lambda handler, question, attempt: (200, completion()) if attempt > 1 else (429, b"", ("Retry-After", "1"))
    )
    begun = time.monotonic()
    assert ask(server) == [RIGHT]
    assert time.monotonic() - begun >= 1.0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": null}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_completion_is_trouble(serve, content):
    server = serve(lambda handler, question, attempt: (200, content))
    (words,) = ask(server, attempts=2)
    assert isinstance(words, NoVerdict) and words.fault is Fault.UNREACHABLE and "no chat completion" in words.detail
    assert server.seen["q"] == 2


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (completion(finish="length"), Fault.TRUNCATED),
        (completion(finish="content_filter"), Fault.MISSING),
        (completion(words=None), Fault.MISSING),
        (completion(words=["parts"]), Fault.MISSING),
    ],
)
def test_completions_without_a_whole_answer(serve, content, fault):
    server = serve(lambda handler, question, attempt: (200, content))
    (words,) = ask(server)
    assert isinstance(words, NoVerdict) and words.fault is fault and server.seen["q"] == 1


def hang(handler, question, attempt):
    handler.server.released.wait(30)


def drip(handler, question, attempt):
    """A byte now and then: no single read is ever late."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.released.wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()


@pytest.mark.parametrize("behave", [hang, drip])
def test_the_deadline_holds_for_the_whole_attempt(serve, behave):
    server = serve(behave)
    begun = time.monotonic()
    (words,) = ask(server, deadline_s=0.3, attempts=2)
    assert words == NoVerdict(Fault.UNREACHABLE, "no answer within 0.3 s; 2 attempts")
    assert time.monotonic() - begun < 5


def test_a_late_answer_holds_nobody_else_up(serve):
    def behave(handler, question, attempt):
        return hang(handler, question, attempt) if question == "slow" else (200, completion(question))

    words = ask(serve(behave), "slow", "a", "b", deadline_s=0.5, attempts=1)
    assert isinstance(words[0], NoVerdict) and words[1:] == ["a", "b"]


def close(handler, question, attempt):
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def close_half_way(handler, question, attempt):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(completion()[:10])
    close(handler, question, attempt)


def rubbish(handler, question, attempt):
    handler.wfile.write(b"\x00\x01 this is not HTTP\r\n\r\n")
    close(handler, question, attempt)


@pytest.mark.parametrize("behave", [close, close_half_way, rubbish])
def test_closed_connections_are_tried_again(serve, behave):
    server = serve(
        lambda handler, question, attempt: behave(handler, question, attempt) if attempt < 3 else (200, completion())
    )
    assert ask(server) == [RIGHT] and server.seen["q"] == 3


def test_a_server_that_is_not_there_is_a_fault():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    judge = EndpointJudge(f"http://127.0.0.1:{port}/v1/", "m", max_new_tokens=1, attempts=2, pause_s=0.001)
    (reply,) = judge.ask([Question("q", 0)])
    assert isinstance(reply.words, NoVerdict) and "ConnectError" in reply.words.detail


def test_an_address_that_is_none_is_a_fault():
    (reply,) = EndpointJudge("http://[::", "m", max_new_tokens=1).ask([Question("q", 0)])
    assert isinstance(reply.words, NoVerdict) and "the address is none" in reply.words.detail


def test_an_endless_answer_is_cut(serve):
    def flood(handler, question, attempt):
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * (1 << 20))

    (words,) = ask(serve(flood), attempts=1, deadline_s=20)
    assert isinstance(words, NoVerdict) and "longer than 4 MiB" in words.detail


def test_the_judge_over_an_endpoint_counts_what_failed_as_unjudged(serve):
    def behave(handler, question, attempt):
        if "good" in question:
            return 200, completion()
        return (500, b"broken") if "broken" in question else (200, completion("no json"))

    judge = Judge("j", asker(serve(behave)), read_template(JUDGE))
    scores = judge.score(
        [
            Trajectory(Prompt("p", "?", "2"), index, (), StopReason.STOP, text)
            for index, text in enumerate(["good", "broken", "mute"])
        ]
    )
    assert [score.verdict for score in scores] == [Verdict.RIGHT, Verdict.UNJUDGED, Verdict.UNJUDGED]
    assert scores[1].reason == "unreachable: HTTP 500: broken; 3 attempts" and scores[2].reason.startswith("missing: ")
