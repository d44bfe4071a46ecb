"""A feed of invented prices: forty a second over the HTTP API, and all of them in one list every second. Needs only Python."""

import http.client
import json
import os
import random
import time
import urllib.parse

URL = urllib.parse.urlsplit(os.environ.get("URL", "http://127.0.0.1:8000"))
HEADERS = {"Authorization": f"Bearer {os.environ['API_KEY']}", "Content-Type": "application/json"}
prices = {"COFFEE": 3.4, "COCOA": 7.9, "SUGAR": 0.2, "TEA": 2.8}
server = http.client.HTTPConnection(URL.hostname, URL.port)


def publish(type, data):
    server.request("POST", "/api/rooms/prices:goods/messages", json.dumps({"type": type, "data": data}), HEADERS)
    response = server.getresponse()
    answer = json.load(response)
    if response.status != 200:
        raise SystemExit(f"{response.status}: {answer}")
    return answer


def price(symbol):
    return {"symbol": symbol, "price": round(prices[symbol], 4)}


while True:
    print("all", publish("prices", [price(symbol) for symbol in prices]), flush=True)
    for _ in range(40):
        symbol = random.choice(list(prices))
        prices[symbol] *= random.uniform(0.995, 1.005)
        publish("price", price(symbol))
        time.sleep(1 / 40)
