"""How fast the service is, whether it keeps that up, and what it does with too much and with nonsense.

    python benchmarks/service.py                                  everything, about 25 minutes
    python benchmarks/service.py --parts throughput --seconds 3   one part, shortened

throughput  /v1/sentiment with one short text a request, at 1 and 32 clients, beside the same model called in process
            and beside a bare FastAPI service; all on the same core, one after the other in every round. The processor
            time of a request is there as well, because it hardly depends on what else runs on the machine
start       seconds from `amends serve` to the first 200 of /readyz
soak        --minutes at 80 % of the capacity, with the memory of all processes of the server, then several times the
            capacity, then the time until it answers as usual again
malformed   random requests that are no requests, and a chunked body without an end

Servers run on --server-core, the load client on --client-core. Writes service.json beside this file; parts that did not
run keep their last figures.
"""

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from model.scorer import Scorer  # noqa: E402
from service.serve import command, environment  # noqa: E402

PATH = "/v1/sentiment"
TEXTS = [
    "Great help, thank you!",
    "Awful. They ignored me for weeks.",
    "The kettle from Brightpot leaked after a week and nobody answered my emails.",
    "A manager called the next morning, said sorry and sent a refund.",
    "Does anyone know when the shop on Mill Lane opens?",
    "I have bought here for years and will never do so again.",
    "Delivery was two days late but the driver was very kind about it.",
    "They charged me twice and want another form before they pay anything back.",
]
PARTS = ("throughput", "start", "soak", "malformed")
SHARE = 0.8


class Server:
    """A server that runs: its process, its port, and the memory of its whole family."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def memory(self) -> float:
        """Resident memory of all its processes, in MiB."""
        return round(self._sum(lambda one: one.memory_info().rss) / 2**20, 1)

    def cpu(self) -> float:
        """Processor time of all its processes, in seconds."""
        return self._sum(lambda one: one.cpu_times().user + one.cpu_times().system)

    def _sum(self, figure: Callable[[psutil.Process], float]) -> float:
        parent = psutil.Process(self.process.pid)
        total = 0.0
        for one in [parent, *parent.children(recursive=True)]:
            try:
                total += figure(one)
            except psutil.NoSuchProcess:
                continue
        return total

    def ready(self) -> bool:
        """Whether it says that it takes requests."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def on_core(core: int) -> Callable[[], None]:
    """Keeps a new process to one core."""
    return lambda: os.sched_setaffinity(0, {core})


@contextmanager
def serving(line: Sequence[str], env: dict[str, str], port: int, core: int, log: Path) -> Iterator[Server]:
    """Runs a server on one core until the end of the block."""
    with log.open("wb") as out:
        process = subprocess.Popen(line, cwd=ROOT, env=env, stdout=out, stderr=out, preexec_fn=on_core(core))
    server = Server(process, port)
    try:
        end = time.monotonic() + 120
        while not server.ready():
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"the server did not start\n{log.read_text('utf-8', errors='replace')}")
            time.sleep(0.02)
        yield server
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def amends(folder: Path, core: int, **settings: str) -> Iterator[Server]:
    """The service as `amends serve` starts it, with one worker."""
    port = free_port()
    env = environment({**os.environ, "XDG_CACHE_HOME": str(folder), **settings}, port, 1)
    with serving(command("127.0.0.1", port), env, port, core, folder / "amends.log") as server:
        yield server


@contextmanager
def bare(folder: Path, core: int) -> Iterator[Server]:
    """The same model behind FastAPI alone."""
    port = free_port()
    line = [sys.executable, "-m", "uvicorn", "benchmarks.bare_service:app", "--port", str(port), "--no-access-log"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with serving(line, env, port, core, folder / "bare.log") as server:
        yield server


def load(server: Server, core: int, seconds: float, *, clients: int = 1, rate: float | None = None) -> dict[str, Any]:
    """Load from another core; see load_client.py."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as bodies:
        json.dump([json.dumps({"texts": [text]}) for text in TEXTS], bodies)
        bodies.flush()
        options = ["--port", str(server.port), "--path", PATH, "--bodies", bodies.name, "--seconds", str(seconds)]
        options += ["--rate", str(rate)] if rate else ["--clients", str(clients)]
        line = [sys.executable, str(ROOT / "benchmarks/load_client.py"), *options]
        used = server.cpu()
        done = subprocess.run(line, capture_output=True, text=True, check=True, preexec_fn=on_core(core))
        used = server.cpu() - used
    found: dict[str, Any] = json.loads(done.stdout)
    found["cpu_milliseconds"] = round(1000 * used / max(1, sum(found["statuses"].values())), 3)
    return found


def in_process(core: int, seconds: float) -> dict[str, float]:
    """Texts a second and processor time of a text, one at a time, in a process of its own on the servers' core."""
    line = [sys.executable, __file__, "--in-process", "--seconds", str(seconds)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=env, preexec_fn=on_core(core))
    found: dict[str, float] = json.loads(done.stdout)
    return found


def call_in_process(seconds: float) -> dict[str, float]:
    """What in_process says, for this process: texts a second and milliseconds of processor time of each."""
    scorer = Scorer.load(threads=1)
    for text in TEXTS * 4:
        scorer.sentiment([text])
    start, used, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        scorer.sentiment([TEXTS[count % len(TEXTS)]])
        count += 1
    per_second = round(count / (time.perf_counter() - start), 1)
    return {"per_second": per_second, "cpu_milliseconds": round(1000 * (time.process_time() - used) / count, 3)}


def throughput(folder: Path, a: argparse.Namespace) -> dict[str, Any]:
    """Rounds of the same load for every target; the median of the rounds counts."""
    rounds: list[dict[str, Any]] = []
    with ExitStack() as stack:
        ours = stack.enter_context(amends(folder, a.server_core))
        theirs = stack.enter_context(bare(folder, a.server_core))
        for server in (ours, theirs):
            load(server, a.client_core, min(2, a.seconds), clients=4)
        for number in range(a.rounds):
            one: dict[str, Any] = {"in_process": in_process(a.server_core, a.seconds)}
            for name, server in (("amends", ours), ("fastapi", theirs)):
                for clients in (1, 32):
                    one[f"{name}_{clients}"] = load(server, a.client_core, a.seconds, clients=clients)
            say(f"round {number + 1}: {short(one)}")
            rounds.append(one)
    return {"summary": summarise(rounds), "rounds": rounds}


def summarise(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds, and the ratios that matter, each taken within its round."""
    loads = [name for name in rounds[0] if name != "in_process"]

    def median(figure: Callable[[dict[str, Any]], float]) -> float:
        return round(statistics.median(map(figure, rounds)), 3)

    def share(name: str) -> dict[str, float]:
        return {
            "per_second": median(lambda r: r[name]["per_second"] / r["in_process"]["per_second"]),
            "cpu": median(lambda r: r["in_process"]["cpu_milliseconds"] / r[name]["cpu_milliseconds"]),
        }

    return {
        "per_second": {name: median(lambda r, n=name: r[n]["per_second"]) for name in rounds[0]},
        "cpu_milliseconds": {name: median(lambda r, n=name: r[n]["cpu_milliseconds"]) for name in rounds[0]},
        "p50": {name: median(lambda r, n=name: r[n]["milliseconds"]["p50"]) for name in loads},
        "p99": {name: median(lambda r, n=name: r[n]["milliseconds"]["p99"]) for name in loads},
        "share_of_in_process": {name: share(name) for name in loads},
        "p99_over_p50_at_1_client": median(
            lambda r: r["amends_1"]["milliseconds"]["p99"] / r["amends_1"]["milliseconds"]["p50"]
        ),
    }


def short(one: dict[str, Any]) -> str:
    """A round in a line."""
    parts = []
    for name, found in one.items():
        tail = (
            f" p50 {found['milliseconds']['p50']} p99 {found['milliseconds']['p99']} ms" if name != "in_process" else ""
        )
        parts.append(f"{name} {found['per_second']:.0f}/s, {found['cpu_milliseconds']} ms of cpu{tail}")
    return "; ".join(parts)


def start(folder: Path, a: argparse.Namespace) -> dict[str, Any]:
    """Seconds until the server is ready, from the command that users type."""
    seconds: list[float] = []
    for _ in range(a.rounds):
        port = free_port()
        line = [sys.executable, "-m", "service.cli", "serve", "--port", str(port)]
        env = {**os.environ, "XDG_CACHE_HOME": str(folder)}
        begin = time.perf_counter()
        with serving(line, env, port, a.server_core, folder / "start.log"):
            seconds.append(round(time.perf_counter() - begin, 2))
    say(f"ready after {seconds} s")
    return {"seconds": seconds, "median": statistics.median(seconds)}


def soak(folder: Path, a: argparse.Namespace) -> dict[str, Any]:
    """Steady load, then far too much, then as before."""
    with amends(folder, a.server_core) as server:
        load(server, a.client_core, min(5, a.seconds), clients=4)
        capacity = load(server, a.client_core, a.seconds, clients=32)["per_second"]
        rate = SHARE * capacity
        say(f"capacity {capacity:.0f}/s, soak at {rate:.0f}/s for {a.minutes:g} minutes")
        windows, memory = [], [server.memory()]
        end = time.monotonic() + a.minutes * 60
        while time.monotonic() < end:
            windows.append(load(server, a.client_core, min(a.window, max(1.0, end - time.monotonic())), rate=rate))
            memory.append(server.memory())
        steady = steady_figures(windows, memory)
        say(f"soak: {steady['statuses']}, memory {memory[0]} to {memory[-1]} MiB")
        over = load(server, a.client_core, a.seconds, rate=a.times * capacity)
        after = recovery(server, steady["p50_last"])
        say(f"overload: {over['statuses']}, as usual again after {after} s")
        return {
            "capacity_per_second": capacity,
            "rate_per_second": round(rate, 1),
            "minutes": a.minutes,
            **steady,
            "overload": {"times_capacity": a.times, **over, "seconds_to_recover": after, "memory": server.memory()},
        }


def steady_figures(windows: list[dict[str, Any]], memory: list[float]) -> dict[str, Any]:
    """Statuses, times and memory of a soak; growth is that of the second half, when everything is warm."""
    statuses: Counter[str] = Counter()
    for one in windows:
        statuses.update(one["statuses"])
    half = memory[len(memory) // 2 :]
    return {
        "statuses": dict(statuses),
        "errors": sum(n for status, n in statuses.items() if status != "200"),
        "p50_first": windows[0]["milliseconds"]["p50"],
        "p50_last": windows[-1]["milliseconds"]["p50"],
        "p99_first": windows[0]["milliseconds"]["p99"],
        "p99_last": windows[-1]["milliseconds"]["p99"],
        "memory_mib": memory,
        "memory_growth_of_second_half_mib": round(half[-1] - half[0], 1),
    }


def recovery(server: Server, usual: float) -> float:
    """Seconds until a single request is answered within three times the usual milliseconds, five times in a row."""
    begin, good = time.perf_counter(), 0
    reached = begin
    while good < 5:
        sent = time.perf_counter()
        fine = ask(server) == 200 and (time.perf_counter() - sent) * 1000 <= max(3 * usual, 50)
        reached = sent if fine and good == 0 else reached
        good = good + 1 if fine else 0
        if time.perf_counter() - begin > 60:
            return float("inf")
    return round(reached - begin, 2)


def ask(server: Server) -> int:
    """The status of one good request; 0 where there is no answer."""
    body = json.dumps({"texts": [TEXTS[0]]}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{PATH}", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def malformed(folder: Path, a: argparse.Namespace) -> dict[str, Any]:
    """Nonsense of many kinds over raw sockets; everything has to be refused, and nothing has to stay."""
    os.sched_setaffinity(0, {a.client_core})
    with amends(folder, a.server_core) as server:
        load(server, a.client_core, 2, clients=4)
        before = server.memory()
        rng, statuses = random.Random(7), Counter[str]()
        begin = time.perf_counter()
        for _ in range(a.malformed):
            statuses[send_raw(server, nonsense(rng))] += 1
        seconds = time.perf_counter() - begin
        middle = server.memory()
        chunked = endless_body(server, a.chunked_mb)
        after = server.memory()
        alive = ask(server)
    say(f"malformed: {dict(statuses)}, chunked body: {chunked}, memory {before}, {middle}, {after} MiB")
    return {
        "requests": a.malformed,
        "seconds": round(seconds, 1),
        "statuses": dict(statuses),
        "server_errors": sum(n for status, n in statuses.items() if status.startswith("5")),
        "chunked": chunked,
        "memory_mib": {"before": before, "after_malformed": middle, "after_chunked": after},
        "answers_afterwards": alive == 200,
    }


def nonsense(rng: random.Random) -> bytes:
    """The bytes of one request that is off in one of many ways."""
    junk = rng.randbytes(rng.randint(1, 300))
    word = "".join(rng.choices('{}[]",:0123456789abcnull \\u', k=rng.randint(0, 200)))
    path = rng.choice([PATH, "/v1/score", "/v1/loyalty", "/v1/read", f"/{word[:20].encode().hex()}"])
    wrong: list[Any] = [None, 3, "x", {}, {"texts": None}, {"texts": "x"}, {"texts": [], "more": 1}, {"thread": [1]}]
    wrong += [{"cases": 3}, {"content": 3}, [[]] * 50, {"texts": ["x"] * 1001}]
    deep = "[" * rng.randint(10, 5000)
    kind = rng.randrange(8)
    if kind == 0:
        return junk + b"\r\n\r\n"
    if kind == 1:
        return http(path, word.encode())
    if kind == 2:
        return http(path, junk)
    if kind == 3:
        return http(path, json.dumps(rng.choice(wrong)).encode())
    if kind == 4:
        return http(path, deep.encode())
    if kind == 5:
        return http(path, b'{"texts": ["fine"]}', kind=rng.choice(["text/plain", "", "application/xml", "a" * 500]))
    if kind == 6:
        return http(path, b"{}", method=rng.choice(["GET", "PUT", "DELETE", "PATCH", "BREW"]))
    return http(path, junk, extra=f"Content-Encoding: gzip\r\nX-{word.encode().hex()[:30]}: {junk[:20].hex()}\r\n")


def http(path: str, body: bytes, *, method: str = "POST", kind: str = "application/json", extra: str = "") -> bytes:
    """A request as bytes, for a connection that is closed afterwards."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n{extra}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def send_raw(server: Server, data: bytes) -> str:
    """The status of the answer to some bytes, or what happened instead of one."""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return status_of(connection)
    except OSError as error:
        return type(error).__name__


def status_of(connection: socket.socket) -> str:
    """The status of what comes back on a connection."""
    words = connection.recv(65536).split(b" ", 2)
    return words[1].decode("latin-1") if len(words) > 1 else "closed"


def endless_body(server: Server, megabytes: int) -> dict[str, Any]:
    """Sends a body in chunks until it is refused; how much went through, and the answer."""
    piece = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    begin, sent, status = time.perf_counter(), 0, "none"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        try:
            connection.sendall(head.encode())
            for _ in range(megabytes):
                connection.sendall(piece)
                sent += 1
        except OSError:
            pass
        try:
            status = status_of(connection)
        except OSError as error:
            # The server closed while there was still something on its way.
            status = type(error).__name__
    return {
        "offered_mib": megabytes,
        "sent_mib": sent,
        "status": status,
        "seconds": round(time.perf_counter() - begin, 2),
    }


def say(text: str) -> None:
    """One line for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "load_before": [round(x, 2) for x in os.getloadavg()],
        "date": time.strftime("%Y-%m-%d"),
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help="which, with commas between")
    parser.add_argument("--seconds", type=float, default=10, help="of each load, and of overload")
    parser.add_argument("--rounds", type=int, default=5, help="of throughput and start")
    parser.add_argument("--minutes", type=float, default=20, help="of the soak")
    parser.add_argument("--window", type=float, default=30, help="seconds between two looks at the memory")
    parser.add_argument("--times", type=float, default=4, help="overload, in times of the capacity")
    parser.add_argument("--malformed", type=int, default=10_000, help="malformed requests")
    parser.add_argument("--chunked-mb", type=int, default=1024, help="MiB of the chunked body")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1 if (os.cpu_count() or 1) > 1 else 0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Runs the parts that were asked for."""
    a = arguments()
    if a.in_process:
        print(json.dumps(call_in_process(a.seconds)))
        return
    parts = a.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    results = json.loads(a.out.read_text("utf-8")) if a.out.is_file() else {}
    for part in parts:
        before = machine()
        with tempfile.TemporaryDirectory() as folder:
            found = {"throughput": throughput, "start": start, "soak": soak, "malformed": malformed}[part](
                Path(folder), a
            )
        results[part] = {"machine": before, **found}
        a.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
