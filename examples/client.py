"""Calls a running server through BentoML's own client, which makes a method of every endpoint.

amends serve &
python examples/client.py http://localhost:3000 [API_KEY]
"""

import sys

from bentoml import SyncHTTPClient


def main() -> None:
    """Prints the sentiment of two texts, then the case of a customer and what an apology in a record is worth."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:3000"
    token = sys.argv[2] if len(sys.argv) > 2 else None
    with SyncHTTPClient(url, token=token, server_ready_timeout=30) as client:
        answer = client.sentiment({"texts": ["Great help, thank you!", "Awful. They ignored me for weeks."]})
        for result in answer["results"]:
            print(f"{result['label']:8} {result['valence']:+.2f}")

        post = "My kettle from Brightpot leaked after a week. A manager called and sent a refund the same day."
        (report,) = client.score({"content": post, "brand": "Brightpot"})["reports"]
        for case in report["cases"]:
            print(case["author"], case["status"], [f"{cue['cue']}: {cue['quote']}" for cue in case["cues"]])

        records = [{"id": "C-1", "cues": {"apology": "given"}, "severity": 1}, {"id": "C-2", "severity": 1}]
        for estimate in client.loyalty({"cases": records})["results"]:
            print(f"{estimate['id']} {estimate['index']:.0f} ({estimate['low']:.0f} to {estimate['high']:.0f})")


if __name__ == "__main__":
    main()
