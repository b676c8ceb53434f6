"""Card payments as JSON lines, one after the other; every hundredth is spoilt. python make_events.py N"""

import json
import sys

import numpy as np

random = np.random.default_rng(7)
for number in range(int(sys.argv[1])):
    features = random.standard_normal(30, np.float32).round(3).tolist()
    event = {"id": number, "merchant": f"m-{random.integers(20)}", "features": features}
    if number % 100 == 99:
        event["features"] = "lost on the way"
    print(json.dumps(event))
