# Takes commands for a client of paho-mqtt from its input, one a line; paho.ts says which. Arguments: port, protocol version.

import os
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT, VERSION = int(sys.argv[1]), int(sys.argv[2])

output = threading.Lock()
answers = threading.Condition()
answered = {}


def say(*words):
    with output:
        print(*words, flush=True)


def put(key, value):
    with answers:
        answered[key] = value
        answers.notify_all()


def wait_for(key):
    with answers:
        answers.wait_for(lambda: key in answered)
        return answered.pop(key)


def to_bytes(text):
    return b"" if text == "-" else bytes.fromhex(text)


def level_of(granted):
    return getattr(granted, "value", granted)


def on_message(_client, _data, message):
    say("message", message.topic, message.payload.hex() or "-", message.qos, int(message.retain))


def on_disconnect(_client, _data, code, _properties=None):
    if code == 0:
        put("disconnected", True)
        return
    # The library would connect again.
    say("ended")
    os._exit(0)


def connect(name, clean, keep_alive, expiry, *will):
    arguments = {} if VERSION == 5 else {"clean_session": clean == "1"}
    client = mqtt.Client(client_id=name, protocol=VERSION, **arguments)
    client.on_connect = lambda _client, _data, flags, code, _properties=None: put("connected", (flags, code))
    client.on_subscribe = lambda _client, _data, mid, granted, _properties=None: put(("suback", mid), granted[0])
    client.on_unsubscribe = lambda _client, _data, mid, *_rest: put(("unsuback", mid), True)
    client.on_message = on_message
    client.on_disconnect = on_disconnect
    if will:
        topic, payload, qos, retain = will
        client.will_set(topic, to_bytes(payload), int(qos), retain == "1")
    more = {}
    if VERSION == 5:
        more["clean_start"] = clean == "1"
        more["properties"] = Properties(PacketTypes.CONNECT)
        more["properties"].SessionExpiryInterval = int(expiry)
    client.connect("127.0.0.1", PORT, int(keep_alive), **more)
    client.loop_start()
    flags, code = wait_for("connected")
    if level_of(code) != 0:
        sys.exit(f"connect: {code}")
    say("connected", flags["session present"])
    return client


def serve():
    client = None
    for line in sys.stdin:
        command, *words = line.split()
        if command == "connect":
            client = connect(*words)
        elif command == "subscribe":
            _, mid = client.subscribe(words[0], int(words[1]))
            say("subscribed", level_of(wait_for(("suback", mid))))
        elif command == "unsubscribe":
            _, mid = client.unsubscribe(words[0])
            wait_for(("unsuback", mid))
            say("unsubscribed")
        elif command == "publish":
            topic, payload, qos, retain = words
            client.publish(topic, to_bytes(payload), int(qos), retain == "1").wait_for_publish()
            say("published")
        elif command == "disconnect":
            client.disconnect()
            wait_for("disconnected")
            say("disconnected")


serve()
