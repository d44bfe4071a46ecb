"""A feed of invented prices: publishes one every half second over the HTTP API. Needs nothing but Python."""

import json
import os
import random
import time
import urllib.request

URL = os.environ.get("URL", "http://127.0.0.1:8000") + "/api/rooms/prices:goods/messages"
HEADERS = {"Authorization": f"Bearer {os.environ['API_KEY']}", "Content-Type": "application/json"}
prices = {"COFFEE": 3.4, "COCOA": 7.9, "SUGAR": 0.2, "TEA": 2.8}

while True:
    symbol = random.choice(list(prices))
    prices[symbol] *= random.uniform(0.98, 1.02)
    body = {"type": "price", "data": {"symbol": symbol, "price": round(prices[symbol], 4)}}
    with urllib.request.urlopen(urllib.request.Request(URL, json.dumps(body).encode(), HEADERS)) as response:
        print(symbol, json.load(response), flush=True)
    time.sleep(0.5)
